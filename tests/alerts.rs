//! The alerts: promtool finds nothing wrong with them and proves when they fire; they name nothing that the operator does
//! not have; and whoever is woken by one finds what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use extapp::domain::reason::Reason;
use serde::Deserialize;
use strum::IntoEnumIterator as _;

use crate::support::{Context, Result, promtool};

const RULES: &str = "../../charts/extapp/files/alerts.yaml";
/// Cases by the minute, and those that take days.
const CASES: [&str; 2] = ["alerts_test.yaml", "alerts_days_test.yaml"];

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Alert>,
}

#[derive(Deserialize)]
struct Alert {
    #[serde(rename = "alert")]
    name: String,
    expr: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Cases {
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    alert_rule_test: Vec<Look>,
}

#[derive(Deserialize)]
struct Look {
    alertname: String,
    #[serde(default)]
    exp_alerts: Vec<serde_json::Value>,
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).context(path)
}

fn alerts() -> Result<Vec<Alert>> {
    let rules: Rules = serde_saphyr::from_str(&read("charts/extapp/files/alerts.yaml")?)?;
    let alerts: Vec<Alert> = rules.groups.into_iter().flat_map(|group| group.rules).collect();
    assert!(alerts.len() > 15, "the file was read");
    Ok(alerts)
}

/// The metrics that `docs/metrics.md` names, as they are exposed, with their labels.
fn metrics() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let page = read("docs/metrics.md")?;
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let metric = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let suffix = if *cells.get(2)? == "counter" { "_total" } else { "" };
        let labels = cells.get(3)?.split(", ").filter(|label| !label.is_empty()).map(Into::into).collect();
        Some((format!("{}{suffix}", cells.get(1)?.trim_matches('`')), labels))
    };
    rows.map(|row| metric(row).context(row)).collect()
}

/// The words of an expression, its texts in quotes left out.
fn words(expression: &str) -> Vec<&str> {
    let unquoted = expression.split('"').step_by(2);
    let words = unquoted.flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    words.filter(|word| !word.is_empty()).collect()
}

/// What stands in parentheses or braces after each of these words.
fn inside<'a>(expression: &'a str, word: &str, [open, close]: [char; 2]) -> Vec<&'a str> {
    let after = expression.split(word).skip(1).filter_map(|rest| rest.trim_start().strip_prefix(open));
    after.filter_map(|rest| rest.split(close).next()).collect()
}

/// The matchers of an expression: label and value.
fn matchers(expression: &str) -> Vec<(&str, &str)> {
    let braces = expression.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let one = |matcher: &'_ str| -> Option<(usize, usize)> {
        let label = matcher.find(['=', '!'])?;
        Some((label, matcher.find('"')?))
    };
    let parts = braces.flat_map(|matchers| matchers.split(','));
    parts
        .filter_map(|matcher| {
            let (label, value) = one(matcher)?;
            Some((matcher[..label].trim(), matcher[value..].trim().trim_matches('"')))
        })
        .collect()
}

#[test]
fn the_alerts_are_well_formed_and_fire_when_they_should_and_not_before() -> Result<()> {
    promtool::run(&["check", "rules", "--lint=all", "--lint-fatal", RULES])?;
    let said = promtool::run(&[&["test", "rules"], &CASES[..]].concat())?;
    assert_eq!(said.matches("SUCCESS").count(), CASES.len(), "{said}");
    Ok(())
}

#[test]
fn every_metric_label_and_reason_of_an_alert_is_one_that_there_is() -> Result<()> {
    let (metrics, reasons) = (metrics()?, Reason::iter().map(|reason| reason.to_string()).collect::<BTreeSet<_>>());
    for Alert { name: alert, expr, annotations, .. } in alerts()? {
        let named: Vec<&str> = words(&expr).into_iter().filter(|word| word.starts_with("extapp_")).collect();
        assert!(!named.is_empty(), "{alert} measures nothing");
        let mut labels: Option<BTreeSet<String>> = None;
        for metric in named {
            let has = metrics.get(metric).context(format!("{alert}: there is no metric {metric}"))?;
            labels.get_or_insert_with(BTreeSet::new).extend(has.iter().cloned());
        }
        let labels = labels.unwrap_or_default();
        for word in ["by", "on"] {
            for label in inside(&expr, &format!("{word} "), ['(', ')']).iter().flat_map(|list| list.split(", ")) {
                assert!(labels.contains(label), "{alert}: {word} ({label}), and its metrics have {labels:?}");
            }
        }
        for (label, value) in matchers(&expr) {
            assert!(labels.contains(label), "{alert}: {label}=…, and its metrics have {labels:?}");
            for reason in value.split('|').filter(|_| label == "reason") {
                assert!(reasons.contains(reason), "{alert}: there is no reason {reason}");
            }
        }
        for text in annotations.values() {
            let used = text.split("$labels.").skip(1);
            for label in used.filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()) {
                assert!(labels.contains(label), "{alert} speaks of the label {label}");
            }
        }
    }
    Ok(())
}

#[test]
fn every_alert_has_a_severity_a_command_a_runbook_and_a_case_in_which_it_fires() -> Result<()> {
    let page = read("docs/alerts.md")?;
    let chapters: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let mut cases = Vec::new();
    for file in CASES {
        let file: Cases = serde_saphyr::from_str(&read(&format!("tests/promtool/{file}"))?)?;
        cases.extend(file.tests);
    }
    let looks = || cases.iter().flat_map(|case| &case.alert_rule_test);
    let mut known = BTreeSet::new();
    for Alert { name: alert, labels, annotations, .. } in alerts()? {
        let severity = labels.get("severity").context(alert.clone())?;
        assert!(["critical", "warning", "info"].contains(&severity.as_str()), "{alert} is {severity}");
        assert!(annotations.contains_key("summary"), "{alert} has no summary");
        let first = annotations.get("description").context(alert.clone())?;
        assert!(first.contains("Look: `"), "{alert} names no command: {first}");
        let anchor = format!("docs/alerts.md#{}", alert.to_lowercase());
        assert_eq!(annotations.get("runbook"), Some(&anchor), "{alert}");
        let fires = looks().any(|look| look.alertname == alert && !look.exp_alerts.is_empty());
        let quiet = looks().any(|look| look.alertname == alert && look.exp_alerts.is_empty());
        assert!(fires && quiet, "{alert} needs a case in which it fires, and one in which it does not");
        known.insert(alert);
    }
    assert_eq!(chapters, known.iter().map(String::as_str).collect(), "runbooks and alerts");
    for chapter in page.split("\n### ").skip(1) {
        for part in ["**Means**", "**Noticed**", "**Look**", "**Mend**", "**Ends**"] {
            assert!(chapter.contains(part), "{part} is missing: {}", chapter.lines().next().unwrap_or_default());
        }
    }
    for look in looks() {
        assert!(known.contains(&look.alertname), "a case is about {}, which there is not", look.alertname);
    }
    Ok(())
}
