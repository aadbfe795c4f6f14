//! What the operator has counted.

use std::collections::BTreeMap;

use crate::setting::Setting;
use crate::support::Result;

/// The samples of a scrape, or of what happened between two.
#[derive(Clone, Debug, Default)]
pub struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    pub async fn of(setting: &Setting) -> Result<Self> {
        let text = setting.operator.metrics().await?;
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(Self(samples.collect()))
    }

    pub fn since(&self, before: &Self) -> Self {
        let difference = |(name, value): (&String, &f64)| (name.clone(), value - before.0.get(name).unwrap_or(&0.0));
        Self(self.0.iter().map(difference).collect())
    }

    /// The sum of a metric's samples, by the values of some of its labels.
    pub fn by(&self, metric: &str, labels: &[&str]) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for (sample, value) in &self.0 {
            let (name, rest) = sample.split_once('{').unwrap_or((sample, ""));
            if name == metric && *value != 0.0 {
                let parts: Vec<&str> = labels.iter().filter_map(|label| value_of(rest, label)).collect();
                *sums.entry(parts.join(" ")).or_default() += value;
            }
        }
        sums
    }

    pub fn sum(&self, metric: &str) -> f64 {
        self.by(metric, &[]).values().sum()
    }

    /// One label's value alone.
    pub fn only(&self, metric: &str, label: &str, value: &str) -> f64 {
        self.by(metric, &[label]).get(value).copied().unwrap_or_default()
    }
}

fn value_of<'a>(labels: &'a str, label: &str) -> Option<&'a str> {
    let start = labels.find(&format!("{label}=\""))? + label.len() + 2;
    labels[start..].split('"').next()
}

/// `a 1, b 2`; `none` for nothing.
pub fn listed(counts: &BTreeMap<String, f64>) -> String {
    if counts.is_empty() {
        return "none".into();
    }
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}
