//! A secret that was published and cannot be used any more: another one is made at once, without a turn and without an
//! overlap, since there is nothing that workloads could go on with.

use jiff::Timestamp;

use super::{Due, Trigger, current};
use crate::api::external_application::CredentialStatus;
use crate::domain::registration::Registered;
use crate::domain::renewal::renewed_from;

/// What is known of the secret that was published.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// As the status has it.
    pub published: &'a CredentialStatus,
    /// What the server says of the registration.
    pub actual: &'a Registered,
    pub now: Timestamp,
}

type Check = fn(&Facts<'_>) -> Option<Trigger>;

/// The last one holds always: who asks knows that the secret cannot be used.
const CHECKS: [Check; 3] = [gone, ends, |_| Some(Trigger::Lost)];

/// Why another secret is made where the published one cannot be used; nothing where there never was one, or where nothing is
/// known of the server.
pub fn due(credentials: &[CredentialStatus], actual: Option<&Registered>, now: Timestamp) -> Option<Due> {
    let facts = Facts { published: current(credentials)?, actual: actual?, now };
    let trigger = CHECKS.iter().find_map(|check| check(&facts))?;
    Some(Due { trigger, since: now, request: None })
}

fn gone(facts: &Facts<'_>) -> Option<Trigger> {
    let shown = facts.actual.secrets.iter().any(|secret| secret.id.as_str() == facts.published.id);
    (!shown).then_some(Trigger::Gone)
}

/// One that has ended, or ends soon where there is room for no other one beside it.
fn ends(facts: &Facts<'_>) -> Option<Trigger> {
    let known = facts.actual.secrets.iter().find(|secret| secret.id.as_str() == facts.published.id)?;
    (renewed_from(known.created_at, known.expires_at?) <= facts.now).then_some(Trigger::Expiry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{NOON, app, registered, settled};
    use jiff::SignedDuration;

    #[test]
    fn each_check_finds_why_a_published_secret_cannot_be_used() {
        let credentials = settled(app(), "id-7", "1").status.expect("a status").credentials;
        let shown = |id: &str, ends: Option<i64>| {
            let mut actual = registered("id-7");
            actual.secrets[0].id = crate::domain::registration::SecretId::new(id);
            actual.secrets[0].expires_at = ends.map(|hours| NOON + SignedDuration::from_hours(hours));
            actual
        };
        let found = |credentials: &[CredentialStatus], actual: Option<&Registered>| {
            due(credentials, actual, NOON).map(|due| due.trigger.as_str())
        };
        for (what, credentials, actual, expected) in [
            ("there never was one", &[][..], Some(shown("1", None)), None),
            ("the server was not asked", &credentials[..], None, None),
            ("removed at the server", &credentials[..], Some(shown("2", None)), Some("Gone")),
            ("ended", &credentials[..], Some(shown("1", Some(-1))), Some("Expiry")),
            ("nobody has its value", &credentials[..], Some(shown("1", Some(999))), Some("Lost")),
            ("nobody has its value, and it does not end", &credentials[..], Some(shown("1", None)), Some("Lost")),
        ] {
            assert_eq!(found(credentials, actual.as_ref()), expected, "{what}");
        }
    }
}
