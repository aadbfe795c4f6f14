//! Durations as Go writes them: `1h30m0s`. Pure.

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How long a token lives, in whole seconds. Hydra's fields may be absent or null: its own default then holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifespan(pub(super) u64);

impl Serialize for Lifespan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}s", self.0))
    }
}

impl<'de> Deserialize<'de> for Lifespan {
    /// Parts of a second are cut off, and what lies before zero is zero: no application can ask for either.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let duration: SignedDuration = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self(u64::try_from(duration.as_secs()).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::Lifespan;

    fn read(text: &str) -> Option<u64> {
        serde_json::from_value::<Lifespan>(text.into()).ok().map(|lifespan| lifespan.0)
    }

    #[test]
    fn what_go_prints_is_understood() {
        let cases = [
            ("0s", 0),
            ("1m0s", 60),
            ("2h0m0s", 7_200),
            ("1h0m1.5s", 3_601),
            ("720h0m0s", 2_592_000),
            ("1.5s", 1),
            ("250ms", 0),
            ("10µs", 0),
            ("7ns", 0),
            ("-5s", 0),
            ("2562047h47m16.854775807s", 9_223_372_036),
        ];
        for (text, seconds) in cases {
            assert_eq!(read(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        assert_eq!(read("soon"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn seconds_are_sent_as_go_reads_them() {
        assert_eq!(serde_json::to_value(Lifespan(5_400)).ok(), Some("5400s".into()));
    }
}
