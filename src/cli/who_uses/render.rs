//! The report for people. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::report::{Report, Use, UsingPod};
use crate::cli::output::{age, moment, table};

/// The report as text, as of this time.
pub fn text(report: &Report, now: Timestamp) -> String {
    let mut text = format!("{}/{}\n", report.namespace, report.name);
    // A String takes whatever is written to it.
    for output in &report.outputs {
        let version = if output.immutable { "-…" } else { "" };
        let _ = writeln!(text, "  {:?} {}{version}", output.kind, output.name);
    }
    let _ = match report.published_at {
        Some(time) => writeln!(text, "  the secret was last replaced {}", moment(time, now)),
        None => writeln!(text, "  the secret was never replaced, so nobody has an old one"),
    };
    if report.pods.is_empty() && report.workloads.is_empty() {
        return text + "\nNobody uses them in this namespace.\n";
    }
    let workloads: Vec<[String; 4]> = report
        .workloads
        .iter()
        .map(|one| {
            let old = one.pods_that_may_hold_old.to_string();
            [format!("{}/{}", one.id.kind, one.id.name), one.pods.to_string(), old, ways(&one.uses)]
        })
        .collect();
    if !workloads.is_empty() {
        text.push_str("\nWorkloads\n");
        text.push_str(&table(["WORKLOAD", "PODS", "OLD", "USES"], &workloads));
    }
    let pods: Vec<[String; 6]> = report.pods.iter().map(|pod| row(pod, now)).collect();
    if !pods.is_empty() {
        text.push_str("\nPods\n");
        text.push_str(&table(["POD", "PHASE", "UP", "OF", "OLD SECRET", "USES"], &pods));
    }
    text
}

fn row(pod: &UsingPod, now: Timestamp) -> [String; 6] {
    let phase = if pod.deleting { format!("{}, going", pod.phase) } else { pod.phase.clone() };
    let old = match (pod.may_hold_old, pod.needs_restart) {
        (false, _) => "no",
        (true, true) => "until it is restarted",
        (true, false) => "until it reads the file again",
    };
    let of = pod.workload.as_ref().map_or_else(|| "-".into(), |id| format!("{}/{}", id.kind, id.name));
    [pod.name.clone(), phase, age(pod.started_at, now), of, old.into(), ways(&pod.uses)]
}

/// `app: /etc/oauth (follows); worker: CLIENT_SECRET`.
fn ways(uses: &[Use]) -> String {
    let one = |usage: &Use| {
        let place = match usage.how {
            "Volume" => usage.path.as_deref().unwrap_or("a volume that nothing mounts"),
            "EnvFrom" => "all as variables",
            _ => usage.variable.as_deref().unwrap_or_default(),
        };
        let container = usage.container.as_deref().map(|name| format!("{name}: ")).unwrap_or_default();
        format!("{container}{place}{}", if usage.follows { " (follows)" } else { "" })
    };
    uses.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::external_application::OutputKind;

    fn usage(how: &'static str, container: Option<&str>, place: &str, follows: bool) -> Use {
        let (path, variable) = if how == "Volume" { (Some(place.into()), None) } else { (None, Some(place.into())) };
        let container = container.map(Into::into);
        Use { kind: OutputKind::Secret, object: "a-oauth".into(), how, container, path, variable, follows }
    }

    #[test]
    fn each_way_is_named_with_its_container_and_whether_it_follows() {
        let uses = [
            usage("Volume", Some("app"), "/etc/oauth", true),
            usage("Env", Some("init"), "CLIENT_SECRET", false),
            Use { path: None, ..usage("Volume", None, "", true) },
            usage("EnvFrom", Some("app"), "", false),
        ];
        assert_eq!(
            ways(&uses),
            "app: /etc/oauth (follows); init: CLIENT_SECRET; a volume that nothing mounts (follows); app: all as variables"
        );
    }
}
