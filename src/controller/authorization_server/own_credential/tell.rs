//! What is said of the operator's own credential.

use super::Work;
use crate::controller::events::Tone;
use crate::domain::own_credential::Facts;
use crate::domain::own_credential::report::{self, Answer, Told};
use crate::domain::reason::Reason;
use crate::domain::server_status::EXPIRING;

impl Work<'_> {
    /// What the status says after this pass.
    pub(super) fn told(&self) -> Told {
        let listed = self.server.own.listed();
        let told = self.with_facts(listed.as_ref().map(|listed| listed.as_slice()), |facts| {
            let done = facts.record.map(|(record, _)| record).filter(|record| facts.request == Some(&record.request));
            let answered = done.map(|record| record.request.as_str()).or(facts.answered);
            let mut credential = report::credential(facts, answered);
            if facts.listed.is_none() && facts.registered {
                // Nothing was read since the start: what was known before holds.
                let before = self.object.status.as_ref().and_then(|status| status.credential.clone());
                credential = before.map(|before| report::known_before(before, credential.as_ref()));
            }
            let expiring = credential.as_ref().and_then(|credential| report::expiring(credential, facts));
            Told { credential, expiring, rotated: self.rotated(facts) }
        });
        self.warn(told.expiring.as_ref());
        told
    }

    fn rotated(&self, facts: &Facts<'_>) -> Option<Answer> {
        if self.progress.is_some() {
            return self.progress.clone();
        }
        if facts.claim.is_some() {
            let message = "a new secret of the operator's own is being made".to_owned();
            return Some((false, Reason::Progressing, message));
        }
        let record = facts.record.filter(|(_, proven)| *proven).map(|(record, _)| record);
        let last = record.filter(|record| facts.answered.is_none_or(|answered| answered == record.request));
        let done = last.map(|record| report::carried_out(record, facts.has_previous));
        done.or_else(|| self.server.own.answered().map(|answered| answered.answer))
    }

    /// One Event for one warning: not where the status has it already.
    fn warn(&self, warning: Option<&String>) {
        let shown = self.object.status.iter().flat_map(|status| &status.conditions).find(|c| c.type_ == EXPIRING);
        let news = self.server.own.warns(warning);
        if let Some(message) = warning.filter(|message| news && shown.is_none_or(|shown| shown.message != **message)) {
            self.ctx.events.publish(self.object, Tone::Warning, Reason::CredentialsExpiring, message);
        }
    }
}
