//! The report for people. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::report::{Happened, Output, Report, Rotation, Said};
use crate::cli::output::{age, list, moment, plain, table};
use crate::domain::rotation::report::ROTATED;

/// The report as text, as of this time.
pub fn text(report: &Report, now: Timestamp) -> String {
    let mut text = head(report, now);
    text.push_str(&section("Scopes not granted", &scopes(report)));
    text.push_str(&section("Outputs", &outputs(&report.outputs)));
    text.push_str(&section("Credentials", &credentials(report, now)));
    text.push_str(&section("Rotation", &rotation(&report.rotation, now)));
    text.push_str(&section("Events", &events(&report.events, now)));
    text
}

fn section(title: &str, body: &str) -> String {
    if body.is_empty() { String::new() } else { format!("\n{title}\n{body}") }
}

fn head(report: &Report, now: Timestamp) -> String {
    let word = if report.ready { "ready" } else { "not ready" };
    let mut text = format!("{}/{}: {word}\n", report.namespace, report.name);
    text.push_str(&list(&[
        ("because", why(report)),
        ("deleted", report.deleted_at.map(|time| format!("being deleted since {}", moment(time, now)))),
        ("suspended", report.suspended.then(|| "yes: nothing is done until spec.suspend is false".into())),
        ("server", Some(format!("{}/{}", report.server.namespace, report.server.name))),
        ("type", Some(format!("{:?}", report.r#type))),
        ("client id", report.client_id.clone()),
        ("issuer", report.issuer.clone()),
        ("token endpoint", report.token_endpoint.clone()),
    ]));
    let trouble =
        report.conditions.iter().filter(|one| is_trouble(one) && Some(&one.message) != report.message.as_ref());
    for condition in trouble {
        let Said { r#type: kind, status, reason, message, .. } = condition;
        // A String takes whatever is written to it.
        let _ = writeln!(text, "  {kind} is {status}: {reason}: {}", plain(message));
    }
    text
}

/// What explains an application that is not ready. The rotation has a section of its own.
fn is_trouble(condition: &Said) -> bool {
    match condition.r#type.as_str() {
        ROTATED => false,
        "Drifted" | "Reconciling" | "Stalled" => condition.status == "True",
        _ => condition.status != "True",
    }
}

fn why(report: &Report) -> Option<String> {
    let said =
        report.reason.as_ref().zip(report.message.as_ref()).map(|(reason, message)| format!("{reason}: {message}"));
    match said {
        None => Some("the operator has not looked at it yet. If that stays so, is the operator running, and does it watch this namespace?".into()),
        Some(said) if !report.observed => Some(format!("the operator has not looked at the latest change yet. Before it: {said}")),
        said => said,
    }
}

fn scopes(report: &Report) -> String {
    let rows: Vec<[String; 4]> = report
        .scopes_not_granted
        .iter()
        .map(|scope| {
            let what = scope.reason.clone().unwrap_or_default();
            [scope.name.clone(), format!("{:?}", scope.r#type), format!("{:?}", scope.state), what]
        })
        .collect();
    table(["NAME", "TYPE", "STATE", "WHAT TO DO"], &rows)
}

fn outputs(outputs: &[Output]) -> String {
    let name = |output: &Output| match &output.current {
        Some(current) => current.clone(),
        None if output.immutable => format!("{}-…", output.name),
        None => format!("{} (not written yet)", output.name),
    };
    let rows: Vec<[String; 3]> = outputs
        .iter()
        .map(|output| [format!("{:?}", output.kind), name(output), format!("{:?}", output.format)])
        .collect();
    table(["KIND", "NAME", "FORMAT"], &rows)
}

fn credentials(report: &Report, now: Timestamp) -> String {
    let rows: Vec<[String; 7]> = report
        .credentials
        .iter()
        .map(|one| {
            [
                one.id.clone(),
                one.name.as_ref().map_or_else(|| format!("{:?}", one.kind), |name| format!("{:?} {name}", one.kind)),
                format!("{:?}", one.state),
                age(one.created_at, now),
                one.expires_at.map_or_else(|| "never".into(), |time| moment(time, now)),
                one.verified_at.map_or_else(|| "-".into(), |time| moment(time, now)),
                one.pods.map_or_else(|| "-".into(), |pods| pods.to_string()),
            ]
        })
        .collect();
    table(["ID", "KIND", "STATE", "AGE", "ENDS", "PROVEN", "PODS"], &rows)
}

fn rotation(rotation: &Rotation, now: Timestamp) -> String {
    let last = rotation.last_time.map(|time| {
        let trigger = rotation.last_trigger.as_deref().map(|trigger| format!(", {trigger}")).unwrap_or_default();
        format!("{}{trigger}", moment(time, now))
    });
    let open = rotation.condition.as_ref().filter(|said| said.status == "False");
    let mut text = list(&[
        ("last", last),
        ("next", rotation.next_time.map(|time| moment(time, now))),
        ("now", open.map(|said| format!("{}: {}", said.reason, said.message))),
        (
            "withdrawn",
            rotation.failed_time.map(|time| format!("a new secret that was not accepted, {}", moment(time, now))),
        ),
    ]);
    for request in &rotation.requested {
        let _ = writeln!(text, "  asked for and not done yet: {}={}", request.annotation, plain(&request.value));
    }
    text
}

fn events(events: &[Happened], now: Timestamp) -> String {
    let times = |event: &Happened| if event.count > 1 { format!(" (x{})", event.count) } else { String::new() };
    let rows: Vec<[String; 4]> = events
        .iter()
        .map(|event| {
            let message = format!("{}{}", event.message, times(event));
            [age(event.time, now), event.r#type.clone(), event.reason.clone(), message]
        })
        .collect();
    table(["AGE", "TYPE", "REASON", "MESSAGE"], &rows)
}

#[cfg(test)]
mod tests;
