//! Telling: the status where it differs, and an Event where something is new.

use super::Error;
use crate::api::{ExternalApplication, ExternalApplicationStatus};
use crate::controller::Context;
use crate::controller::events::Tone;
use crate::controller::kubernetes::is_not_found;
use crate::domain::observed::{Finding, Observed};
use crate::domain::reason::Reason;
use crate::domain::status::{Outcome, application};
use crate::metrics::Ended;

pub async fn report(app: &ExternalApplication, seen: &Observed, outcome: &Outcome, ctx: &Context) -> Result<(), Error> {
    if let Some(finding) = finding(outcome) {
        ctx.metrics.findings.get_or_create(&Ended { reason: finding.reason.as_str() }).inc();
    }
    let Some(status) = application(app, seen, outcome, ctx.now()) else { return Ok(()) };
    let (uid, digest) = (app.metadata.uid.as_deref().unwrap_or_default(), digest(&status));
    // The cache may be older than what this process wrote last: then equal is not enough.
    if app.status.as_ref() == Some(&status) && !ctx.told_otherwise(uid, digest) {
        return Ok(());
    }
    if let Some(finding) = finding(outcome).filter(|finding| is_news(app, finding)) {
        let tone = if finding.reason == Reason::Suspended { Tone::Normal } else { Tone::Warning };
        ctx.events.publish(app, tone, finding.reason, &finding.message);
    }
    match ctx.kubernetes().status(app, &status).await {
        Err(error) if is_not_found(&error) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => {
            ctx.tell(uid, digest);
            Ok(())
        }
    }
}

fn digest(status: &ExternalApplicationStatus) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(status).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

fn finding(outcome: &Outcome) -> Option<&Finding> {
    match outcome {
        Outcome::Failed { finding, .. } | Outcome::Refused { finding, .. } => Some(finding),
        Outcome::Done { .. } | Outcome::Silent => None,
    }
}

/// Whether the status does not say it yet.
pub fn is_news(app: &ExternalApplication, finding: &Finding) -> bool {
    !app.status.iter().flat_map(|status| &status.conditions).any(|condition| {
        condition.type_ == "Ready"
            && condition.reason == finding.reason.as_str()
            && condition.message == finding.message
    })
}
