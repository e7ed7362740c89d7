//! The part of OTLP metrics that is kept: names and newest numbers. Protocol Buffers by hand: six messages, read only.
//! What is not a number, or not understood, is skipped.

/// The most bytes that a number takes.
const VARINT_BYTES: u32 = 10;

/// A metric's name and newest value.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricValue {
    /// Its name, such as `org.apache.kafka.producer.connection.creation.rate`.
    pub name: String,
    /// Its newest value.
    pub value: f64,
}

enum Field<'a> {
    /// A number that nothing here needs.
    Skipped,
    Fixed64(u64),
    Bytes(&'a [u8]),
}

/// The fields of one message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for at in 0..VARINT_BYTES {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(7 * at).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Field<'a>);

    /// Ends at the first thing that is not a field.
    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => {
                self.varint()?;
                Field::Skipped
            }
            1 => Field::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Field::Skipped
            }
            _ => return None,
        };
        Some((tag >> 3, field))
    }
}

fn messages(bytes: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    Fields(bytes).filter_map(move |(at, field)| match field {
        Field::Bytes(bytes) if at == number => Some(bytes),
        _ => None,
    })
}

/// The metrics of a `MetricsData` message that have numbers, at most `limit` of them.
pub(crate) fn metrics(data: &[u8], limit: usize) -> Vec<MetricValue> {
    const RESOURCE_METRICS: u64 = 1;
    const SCOPE_METRICS: u64 = 2;
    const METRICS: u64 = 2;
    let all = messages(data, RESOURCE_METRICS)
        .flat_map(|resource| messages(resource, SCOPE_METRICS))
        .flat_map(|scope| messages(scope, METRICS));
    all.filter_map(metric).take(limit).collect()
}

fn metric(metric: &[u8]) -> Option<MetricValue> {
    const NAME: u64 = 1;
    const GAUGE: u64 = 5;
    const SUM: u64 = 7;
    const DATA_POINTS: u64 = 1;
    let name = messages(metric, NAME).last()?;
    let series = messages(metric, GAUGE).chain(messages(metric, SUM)).last()?;
    let value = messages(series, DATA_POINTS).filter_map(number).last()?;
    Some(MetricValue { name: String::from_utf8_lossy(name).into_owned(), value })
}

fn number(point: &[u8]) -> Option<f64> {
    const AS_DOUBLE: u64 = 4;
    const AS_INT: u64 = 6;
    let values = Fields(point).filter_map(|(at, field)| match (at, field) {
        (AS_DOUBLE, Field::Fixed64(bits)) => Some(f64::from_bits(bits)),
        (AS_INT, Field::Fixed64(bits)) => Some(bits as i64 as f64),
        _ => None,
    });
    values.last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u8, body: &[u8]) -> Vec<u8> {
        let length = u8::try_from(body.len()).expect("short");
        [&[number << 3 | 2, length], body].concat()
    }

    fn point(tag: u8, bits: u64) -> Vec<u8> {
        message(1, &[&[tag << 3 | 1][..], &bits.to_le_bytes()].concat())
    }

    #[test]
    fn gauges_and_sums_are_read_and_the_rest_is_skipped() {
        let gauge = [message(1, b"a"), message(5, &point(4, 1.5f64.to_bits()))].concat();
        let sum = [message(1, b"b"), message(7, &point(6, 42))].concat();
        let histogram = [message(1, b"c"), message(9, &point(4, 0))].concat();
        let scope: Vec<u8> = [gauge, sum, histogram].iter().flat_map(|metric| message(2, metric)).collect();
        let data = message(1, &message(2, &scope));
        let value = |name: &str, value: f64| MetricValue { name: name.to_owned(), value };
        assert_eq!(metrics(&data, 10), [value("a", 1.5), value("b", 42.0)]);
        assert_eq!(metrics(&data, 1).len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(data: Vec<u8>) {
            assert!(metrics(&data, 5).len() <= 5);
        }
    }
}
