//! Differences that are told of and not corrected.

use super::federate;
use crate::api::ExternalApplication;
use crate::api::external_application::FieldDifference;
use crate::domain::difference;
use crate::domain::observed::{Observed, RegistrationSeen};
use crate::domain::validate::{Valid, desired};

/// Under management Observe, or while the spec cannot be brought about.
pub(super) fn uncorrected(app: &ExternalApplication, valid: &Valid, seen: &Observed) -> Vec<FieldDifference> {
    match &seen.registration {
        _ if !valid.observe_only && valid.held_back.is_none() => Vec::new(),
        RegistrationSeen::Present(actual) if valid.observe_only => {
            let differences = difference::observed(&desired(app), actual);
            differences.into_iter().chain(federate::difference(valid, seen)).collect()
        }
        RegistrationSeen::Present(actual) => difference::between(&desired(app), actual),
        RegistrationSeen::Unread(_) => app.status.as_ref().map(|status| status.drift.clone()).unwrap_or_default(),
        _ => difference::absent(),
    }
}
