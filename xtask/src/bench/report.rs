//! The table: medians of the runs, ratios, targets; on the screen and in `BENCHMARKS.md`.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::system::Kind;
use super::targets::target;

/// A line of the table before its medians.
#[derive(Debug, Default)]
struct Samples(BTreeMap<Kind, Vec<f64>>);

/// Everything measured so far, in the order in which it was first measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<(String, &'static str, Samples)>,
    skipped: Vec<String>,
}

impl Report {
    /// Adds one sample of `metric` in `cell`.
    pub(crate) fn add(&mut self, cell: &str, metric: &'static str, kind: Kind, value: f64) {
        eprintln!("  {cell}: {metric}: {} {}", kind.title(), number(value));
        let known = self.rows.iter().position(|(of, name, _)| of == cell && *name == metric);
        let index = known.unwrap_or_else(|| {
            self.rows.push((cell.to_owned(), metric, Samples::default()));
            self.rows.len() - 1
        });
        self.rows[index].2.0.entry(kind).or_default().push(value);
    }

    /// Notes that a cell could not be measured.
    pub(crate) fn skip(&mut self, cell: &str, why: &str) {
        eprintln!("  {cell}: skipped: {why}");
        let line = format!("{cell}: {}", why.lines().next().unwrap_or_default());
        if !self.skipped.contains(&line) {
            self.skipped.push(line);
        }
    }

    /// The table in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text =
            "| cell | measured | Ottla | Apache Kafka | floor | of Apache Kafka | of the floor | target | met |\n\
                        |---|---|--:|--:|--:|--:|--:|---|---|\n"
                .to_owned();
        for (cell, metric, samples) in &self.rows {
            let ottla = samples.median(Kind::Ottla);
            let kafka = samples.median(Kind::ApacheKafka);
            let floor = samples.median(Kind::Floor);
            let (of_kafka, of_floor) = (ratio(ottla, kafka), ratio(ottla, floor));
            let target = target(cell, metric);
            let met = ottla.and_then(|value| target.met(value, of_kafka, of_floor));
            let met = met.map_or("", |met| if met { "yes" } else { "no" });
            let cells = [ottla, kafka, floor].map(|value| value.map_or_else(String::new, number));
            let ratios = [of_kafka, of_floor].map(|ratio| ratio.map_or_else(String::new, |of| format!("{of:.2}x")));
            let line =
                format!("| {cell} | {metric} | {} | {} | {target} | {met} |", cells.join(" | "), ratios.join(" | "));
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{line}");
        }
        for skipped in &self.skipped {
            let _ = writeln!(text, "\nNot measured: {skipped}");
        }
        text
    }
}

impl Samples {
    fn median(&self, kind: Kind) -> Option<f64> {
        let mut values = self.0.get(&kind)?.clone();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }
}

fn ratio(ottla: Option<f64>, other: Option<f64>) -> Option<f64> {
    let (ottla, other) = (ottla?, other?);
    (other > 0.0).then(|| ottla / other)
}

/// Three significant digits are all that a shared machine gives.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_medians_and_ratios() {
        let mut report = Report::default();
        for value in [3.0, 1.0, 2.0] {
            report.add("cell", "CPU s/GB", Kind::Ottla, value);
            report.add("cell", "CPU s/GB", Kind::ApacheKafka, value * 4.0);
        }
        assert!(report.table().contains("| cell | CPU s/GB | 2.00 | 8.00 |  | 0.25x |  |"), "{}", report.table());
    }
}
