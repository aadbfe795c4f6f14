//! Types that several kinds share.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens to the registration: Delete (default): it is deleted, and every credential with it. Retain: it and its
/// secrets stay as they are. Revoke: it stays, and its secrets are removed, so that nobody gets a new token with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    #[default]
    Delete,
    Retain,
    Revoke,
}

/// How deletion goes, and how long it may wait for a server that does not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// What happens to the registration; Delete where nobody says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<DeletionPolicy>,
    /// How long a deletion waits for a server that does not answer, for example `30m` or `1h` (default). After that the
    /// object goes, and the registration is listed in `status.pendingDeletions` of its AuthorizationServer, from where
    /// it is deleted once the server is back. The annotation `extapp.dev/abandon: "true"` ends the wait at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub give_up_after: Option<HumanDuration>,
}

/// A duration as people write it: `90s`, `30m`, `1h`, `7d`, or several of these one after the other (`1h30m`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct HumanDuration(
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = [{
        "rule": "self.matches('^([0-9]{1,6}[smhd])+$') && self.matches('[1-9]')",
        "message": "must be a duration such as 90s, 30m, 1h30m or 7d, and more than nothing"
    }]))]
    pub String,
);

impl HumanDuration {
    /// `None` where the text is not a duration; the schema refuses such text at admission.
    pub fn parse(&self) -> Option<Duration> {
        let mut total: u64 = 0;
        let mut digits = String::new();
        for character in self.0.chars() {
            if character.is_ascii_digit() {
                digits.push(character);
                continue;
            }
            let unit = match character {
                's' => 1,
                'm' => 60,
                'h' => 3_600,
                'd' => 86_400,
                _ => return None,
            };
            total = total.checked_add(digits.parse::<u64>().ok()?.checked_mul(unit)?)?;
            digits.clear();
        }
        (digits.is_empty() && total > 0).then(|| Duration::from_secs(total))
    }
}

/// Which Kubernetes objects match: all of `matchLabels` and all of `matchExpressions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.matchLabels) || has(self.matchExpressions)")
    .message("an empty selector would admit every namespace: write `from: All` if that is meant"))]
pub struct LabelSelector {
    /// Labels that must be there with exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "minProperties" = 1))]
    pub match_labels: BTreeMap<String, LabelValue>,
    /// Conditions on labels, all of which must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// The value of a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct LabelValue(
    #[schemars(length(max = 63), extend("x-kubernetes-validations" = [{
        "rule": "self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')",
        "message": "must be a Kubernetes label value: letters, digits, `-`, `_` and `.`, with a letter or digit at both ends"
    }]))]
    pub String,
);

/// One condition on a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)")
    .message("operators In and NotIn need values; Exists and DoesNotExist must not have any"))]
pub struct LabelSelectorRequirement {
    /// The label's key.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// In, NotIn, Exists or DoesNotExist.
    pub operator: LabelOperator,
    /// The values for In and NotIn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl LabelSelector {
    /// Whether an object with these labels is selected, as the Kubernetes API defines it.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let exact = self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(&value.0));
        exact && self.match_expressions.iter().all(|requirement| requirement.holds(labels))
    }
}

impl LabelSelectorRequirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let actual = labels.get(&self.key);
        match self.operator {
            LabelOperator::In => actual.is_some_and(|value| self.values.contains(value)),
            LabelOperator::NotIn => actual.is_none_or(|value| !self.values.contains(value)),
            LabelOperator::Exists => actual.is_some(),
            LabelOperator::DoesNotExist => actual.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        HumanDuration(text.into()).parse().map(|duration| duration.as_secs())
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("1h30m"), Some(5_400));
        assert_eq!(seconds("30d"), Some(2_592_000));
        for wrong in ["", "5", "h", "1w", "-1h", "0s", "1h 30m", "99999999999999999999s"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_selector_with_expressions_alone_does_not_admit_everything() {
        let selector = LabelSelector {
            match_labels: BTreeMap::new(),
            match_expressions: vec![LabelSelectorRequirement {
                key: "team".into(),
                operator: LabelOperator::In,
                values: vec!["finance".into()],
            }],
        };
        assert!(!selector.matches(&BTreeMap::new()));
        assert!(!selector.matches(&BTreeMap::from([("team".into(), "other".into())])));
        assert!(selector.matches(&BTreeMap::from([("team".into(), "finance".into())])));
    }

    #[test]
    fn absent_labels_satisfy_the_negative_operators_only() {
        let holds = |operator| {
            LabelSelectorRequirement { key: "k".into(), operator, values: vec!["v".into()] }.holds(&BTreeMap::new())
        };
        assert!(!holds(LabelOperator::In) && !holds(LabelOperator::Exists));
        assert!(holds(LabelOperator::NotIn) && holds(LabelOperator::DoesNotExist));
    }
}
