//! Federated credentials: those that the spec lists, and no others.

use std::time::Duration;

use jiff::Timestamp;

use super::Step;
use crate::api::ExternalApplication;
use crate::api::external_application::FieldDifference;
use crate::domain::federation::{self, Change, FederatedSeen};
use crate::domain::observed::{Finding, Observed, Retry};
use crate::domain::reason::Reason;
use crate::domain::registration::ClientId;
use crate::domain::validate::Valid;

/// How soon what a lost create may have left is looked at.
const SOON: Duration = Duration::from_millis(200);

/// A registration that is just made has none.
pub(super) fn first(valid: &Valid) -> impl Iterator<Item = Step> {
    valid.trusts.iter().cloned().map(|trust| Step::Federate(Change::Add(trust)))
}

/// What has to change at a registration that is there.
pub(super) fn federate(
    app: &ExternalApplication,
    valid: &Valid,
    id: &ClientId,
    seen: &Observed,
    now: Timestamp,
) -> Vec<Step> {
    let Some(federation) = valid.server.capabilities.federation.filter(|_| !valid.observe_only) else {
        return Vec::new();
    };
    match &seen.federated {
        FederatedSeen::Known(known) => {
            if let Some(until) = federation::lost(app, known, now) {
                return vec![Step::Await(lost(until, now))];
            }
            let changes = federation::changes(app, &valid.trusts, id.as_str(), known, federation.most, now);
            changes.into_iter().map(Step::Federate).collect()
        }
        FederatedSeen::Unreadable(finding) => vec![Step::Await(finding.clone())],
        // A create whose answer was lost may have been followed by some of them.
        FederatedSeen::Unread if valid.taken_over.is_some() && !valid.trusts.is_empty() => {
            let message = "looking which federated credentials the registration has";
            vec![Step::Await(Finding::passing(Reason::Progressing, message, Retry::After(SOON)))]
        }
        FederatedSeen::Unread => Vec::new(),
    }
}

fn lost(until: Timestamp, now: Timestamp) -> Finding {
    let left = Duration::try_from(until.duration_since(now)).unwrap_or(SOON).max(SOON);
    let message =
        "the answer to a new federated credential was lost; waiting for the server to show whether it is there";
    Finding::passing(Reason::OutcomeUnknown, message, Retry::After(left))
}

/// What differs, for who only watches.
pub(super) fn difference(valid: &Valid, seen: &Observed) -> Option<FieldDifference> {
    match &seen.federated {
        FederatedSeen::Known(known) => federation::difference(&valid.trusts, known),
        FederatedSeen::Unread | FederatedSeen::Unreadable(_) => None,
    }
}

#[cfg(test)]
mod tests;
