//! Wall-clock time and dates for the tools.

use std::time::UNIX_EPOCH;

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the tools report the wall clock; nothing depends on it")]
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

const DAY_MS: i64 = 86_400_000;

/// Reads `yyyy-MM-ddTHH:mm:ss.SSS` with an optional offset (`Z`, `+hhmm`, `+hh:mm`); without one it is UTC.
pub(crate) fn parse_datetime(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let zone_at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = time.split_at(zone_at);
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut clock = clock.splitn(3, ':').map(str::parse::<i64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    let millis: i64 = fraction.parse().ok()?;
    let days = days_from_civil(year, month, day);
    let local = days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + millis;
    Some(local - zone_offset_ms(zone)?)
}

fn zone_offset_ms(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = zone[1..].replace(':', "");
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..).filter(|rest| !rest.is_empty()).map_or(Some(0), |rest| rest.parse().ok())?;
    Some(sign * (hours * 60 + minutes) * 60_000)
}

/// Days since 1970 of a date in the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days since 1970.
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Reads an ISO 8601 duration such as `P1DT2H30M`, in milliseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let text = text.to_ascii_uppercase();
    let text = text.strip_prefix('P')?;
    let (days, clock) = text.split_once('T').unwrap_or((text, ""));
    if days.is_empty() && clock.is_empty() {
        return None;
    }
    let mut total = match days {
        "" => 0.0,
        days => days.strip_suffix('D')?.parse::<f64>().ok()? * 86_400_000.0,
    };
    let mut number = String::new();
    for character in clock.chars() {
        let unit = match character {
            'H' => 3_600_000.0,
            'M' => 60_000.0,
            'S' => 1000.0,
            digit => {
                number.push(digit);
                continue;
            }
        };
        total += number.parse::<f64>().ok()? * unit;
        number.clear();
    }
    #[expect(clippy::cast_possible_truncation, reason = "a duration in milliseconds fits by far")]
    number.is_empty().then_some(sign * total as i64)
}

/// A time in UTC by a pattern of Java's `SimpleDateFormat`: `y M d H m s S` and anything else as it is.
pub(crate) fn format_date(pattern: &str, time_ms: i64) -> String {
    let (days, of_day) = (time_ms.div_euclid(DAY_MS), time_ms.rem_euclid(DAY_MS));
    let (year, month, day) = civil_from_days(days);
    let mut text = String::new();
    let mut letters = pattern.chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        if letter == '\'' {
            quoted = !quoted;
            continue;
        }
        let mut width = 1;
        while !quoted && letter.is_ascii_alphabetic() && letters.peek() == Some(&letter) {
            letters.next();
            width += 1;
        }
        let value = match letter {
            _ if quoted => None,
            'y' if width == 2 => Some(year % 100),
            'y' => Some(year),
            'M' => Some(month),
            'd' => Some(day),
            'H' => Some(of_day / 3_600_000),
            'm' => Some(of_day / 60_000 % 60),
            's' => Some(of_day / 1000 % 60),
            'S' => Some(of_day % 1000),
            _ => None,
        };
        match value {
            Some(value) => text.push_str(&format!("{value:0width$}")),
            None => text.extend(std::iter::repeat_n(letter, width)),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_split() {
        assert_eq!(parse_datetime("1970-01-02T00:00:00.000"), Some(DAY_MS));
        assert_eq!(parse_datetime("2026-11-21T12:00:00.123+01:00"), Some(1_795_258_800_123));
        assert_eq!(civil_from_days(1_795_258_800_123 / DAY_MS), (2026, 11, 21));
        assert_eq!(parse_datetime("yesterday"), None);
        let text = format_date("yyyy-MM-dd HH:mm:ss:SSS", 1_795_258_800_123);
        assert_eq!(text, "2026-11-21 11:00:00:123");
    }

    #[test]
    fn durations_are_iso_8601() {
        assert_eq!(parse_duration("P1DT2H30M"), Some(95_400_000));
        assert_eq!(parse_duration("PT0.5S"), Some(500));
        assert_eq!(parse_duration("5 minutes"), None);
    }
}
