//! Times and durations as the contract writes them.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::WallTime;

/// A point in wall-clock time: RFC 3339 with exactly nine decimals and `Z`, so that texts sort as times do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub WallTime);

impl From<WallTime> for Time {
    fn from(time: WallTime) -> Time {
        Time(time)
    }
}

impl Time {
    /// Reads RFC 3339 with any number of decimals and any offset.
    pub fn parse(text: &str) -> Option<Time> {
        let timestamp: Timestamp = text.parse().ok()?;
        i64::try_from(timestamp.as_nanosecond()).ok().map(|nanoseconds| Time(WallTime(nanoseconds)))
    }

    /// The same; what 64 bits of nanoseconds do not reach is the first or the last time that they do.
    pub fn parse_clamped(text: &str) -> Option<Time> {
        let nanoseconds = text.parse::<Timestamp>().ok()?.as_nanosecond();
        let clamped = nanoseconds.clamp(i64::MIN.into(), i64::MAX.into());
        i64::try_from(clamped).ok().map(|nanoseconds| Time(WallTime(nanoseconds)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 64 bits of nanoseconds reach from 1677 to 2262, well within the years a timestamp can have.
        let timestamp = Timestamp::from_nanosecond(self.0.0.into()).map_err(|_| fmt::Error)?;
        write!(f, "{timestamp:.9}")
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = String::deserialize(deserializer)?;
        Time::parse(&text).ok_or_else(|| serde::de::Error::custom(format_args!("not a time of RFC 3339: {text:?}")))
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{9}Z$",
            "description": "RFC 3339 with nine decimals and Z: texts sort as times do.",
        })
    }
}

/// A duration in seconds: the number nearest to its whole nanoseconds, which prints with at most nine decimals for
/// anything under eleven days (15 significant digits survive in a double).
pub fn seconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_decimals_and_z() {
        for (nanoseconds, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (1_700_000_000_000_000_001, "2023-11-14T22:13:20.000000001Z"),
            (1_700_000_000_120_000_000, "2023-11-14T22:13:20.120000000Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
            (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
        ] {
            let time = Time(WallTime(nanoseconds));
            assert_eq!(time.to_string(), text);
            assert_eq!(Time::parse(text), Some(time));
        }
    }

    #[test]
    fn other_forms_of_a_time() {
        let time = Some(Time(WallTime(1_700_000_000_000_000_000)));
        assert_eq!(Time::parse("2023-11-14T22:13:20Z"), time);
        assert_eq!(Time::parse("2023-11-14T23:13:20+01:00"), time);
        for bad in ["", "now", "2023-11-14", "2023-11-14T22:13:20", "9999-01-01T00:00:00Z", "15m"] {
            assert_eq!(Time::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_are_exact_and_short() {
        for (nanoseconds, text) in [
            (0, "0.0"),
            (1, "1e-9"),
            (300_000_000, "0.3"),
            (12_345_678_901, "12.345678901"),
            (32_000_000_001, "32.000000001"),
            (864_000_123_456_789, "864000.123456789"),
        ] {
            let value = seconds(Duration::from_nanos(nanoseconds));
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
            assert_eq!((value * 1e9).round() as u64, nanoseconds);
        }
    }
}
