//! Federated credentials: whose tokens the registration trusts.

use super::{Halt, Pass};
use crate::api::external_application::{CredentialKind, CredentialState, CredentialStatus};
use crate::controller::events::Tone;
use crate::domain::federation::{Change, FederatedSeen, IssuerSeen, Left, Trust, recorded};
use crate::domain::observed::{Finding, Observed, Retry};
use crate::domain::reason::Reason;
use crate::server::{Federating as _, ServerError};

/// What a pass begins with.
pub(super) fn before(seen: &Observed) -> Left {
    let known = match &seen.federated {
        FederatedSeen::Known(known) => Some(known.clone()),
        FederatedSeen::Unread | FederatedSeen::Unreadable(_) => None,
    };
    Left { known, lost: None }
}

/// The secrets of a list, and these.
pub(super) fn beside(credentials: Vec<CredentialStatus>, federated: Vec<CredentialStatus>) -> Vec<CredentialStatus> {
    let secrets = credentials.into_iter().filter(|credential| credential.kind == CredentialKind::Secret);
    secrets.chain(federated).collect()
}

impl Pass<'_> {
    pub(super) async fn federate(&mut self, change: Change) -> Result<(), Halt> {
        let Some(id) = self.client_id.clone() else { return Err(Halt::Stale) };
        let client = &self.connection.client;
        let done = match &change {
            Change::Add(trust) => client.add_federated(&id, trust).await.map(Some),
            Change::Replace { credential, trust } => {
                client.replace_federated(&id, credential, trust).await.map(|()| None)
            }
            Change::Remove { credential } => client.remove_federated(&id, credential).await.map(|()| None),
        };
        match done {
            Ok(added) => {
                self.tell(&change);
                self.federated.did(&change, added);
                Ok(())
            }
            Err(error) => Err(self.not_federated(&change, &error)),
        }
    }

    /// One event for each change; a warning where it sets right what others did.
    fn tell(&self, change: &Change) {
        let generation = self.app.status.as_ref().and_then(|status| status.observed_generation);
        let unchanged = generation == self.app.metadata.generation;
        let active = |is: &dyn Fn(&CredentialStatus) -> bool| {
            recorded(self.listed()).any(|known| known.state == CredentialState::Active && is(known))
        };
        let said =
            |trust: &Trust| format!("{}: {} of {} for {}", trust.name, trust.subject, trust.issuer, trust.audience);
        let named = |trust: &Trust| unchanged && active(&|known| known.name.as_ref() == Some(&trust.name));
        let (drifted, reason, note) = match change {
            Change::Add(trust) if named(trust) => (
                true,
                Reason::FederatedCredentialAdded,
                format!("had been removed at the server: trusts {}", said(trust)),
            ),
            Change::Add(trust) => (false, Reason::FederatedCredentialAdded, format!("trusts {}", said(trust))),
            Change::Replace { trust, .. } if named(trust) => (
                true,
                Reason::FederatedCredentialChanged,
                format!("had been changed at the server: trusts {}", said(trust)),
            ),
            Change::Replace { trust, .. } => {
                (false, Reason::FederatedCredentialChanged, format!("trusts {}", said(trust)))
            }
            Change::Remove { credential } => {
                let ours = recorded(self.listed()).any(|known| known.id == *credential);
                let known = self.federated.known.iter().flatten().find(|known| known.id == *credential);
                let name = known.map_or(credential.as_str(), |known| known.trust.name.as_str());
                let note = if ours { "is not trusted any more" } else { "was not listed, and is not trusted any more" };
                (!ours, Reason::FederatedCredentialRemoved, format!("{name} {note}"))
            }
        };
        self.say(if drifted { Tone::Warning } else { Tone::Normal }, reason, &note);
    }

    fn not_federated(&mut self, change: &Change, error: &ServerError) -> Halt {
        match (change, error) {
            // It may be there, and is not added again before the server has shown whether it is.
            (Change::Add(trust), ServerError::Ambiguous) => {
                self.federated.lost = Some(trust.name.clone());
                let message = "the answer to a new federated credential was lost; looking whether it is there";
                Halt::Because(Finding::passing(Reason::OutcomeUnknown, message, Retry::Backoff))
            }
            // Somebody else removed it, or the registration with it.
            (Change::Replace { .. }, ServerError::NotFound) => Halt::Stale,
            (Change::Add(trust) | Change::Replace { trust, .. }, ServerError::Rejected { .. }) => {
                let Halt::Because(finding) = self.server_failed(error) else { return Halt::Stale };
                let message =
                    format!("spec.federatedCredentials[{}]: {}{}", trust.name, finding.message, self.way_out(trust));
                Halt::Because(Finding { message, ..finding })
            }
            _ => self.server_failed(error),
        }
    }

    /// What to do where the server cannot read the keys of the cluster.
    fn way_out(&self, trust: &Trust) -> String {
        match &self.seen.issuer {
            IssuerSeen::Known(cluster) if cluster.issuer == trust.issuer => format!(
                "; if it cannot reach {0}/.well-known/openid-configuration, set --service-account-issuer of this cluster's API server to an address that it reaches",
                trust.issuer.trim_end_matches('/')
            ),
            _ => String::new(),
        }
    }
}
