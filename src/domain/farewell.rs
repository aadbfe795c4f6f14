//! How an application goes: what happens at the server, and when the operator stops waiting for it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::observed::{Finding, Retry};
use super::reason::Reason;
use super::registration::ClientId;
use crate::api::common::{Deletion, DeletionPolicy};

/// How long a deletion waits where nobody said otherwise.
pub const GIVE_UP_AFTER: Duration = Duration::from_hours(1);

/// What a deletion rests on.
pub struct Leaving<'a> {
    pub policy: DeletionPolicy,
    pub observe_only: bool,
    /// The registration, where there is one and it is known.
    pub client_id: Option<&'a ClientId>,
    /// Its secrets beside the published one, which are on their way in or out.
    pub passing: Vec<String>,
    pub own_client_id: Option<&'a ClientId>,
    /// Another application that stands for the same registration.
    pub shared_with: Option<&'a str>,
    /// What keeps the operator from acting at the server, or from knowing what is there.
    pub obstacle: Option<Finding>,
    pub deleted_at: Timestamp,
    pub give_up_after: Duration,
    pub abandon: bool,
    pub now: Timestamp,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Let the object go: nothing is left to do at the server.
    Release(Reason, String),
    /// Delete the registration, then let go.
    Delete(ClientId),
    /// Remove every secret of the registration, then let go.
    Revoke(ClientId),
    /// Let go, and leave the registration: the server will never let the operator do it.
    Leave { client_id: ClientId, because: String },
    /// Let go, and leave the registration in the care of its AuthorizationServer.
    HandOver { client_id: Option<ClientId>, because: String },
    /// Not yet; `left`: until the waiting ends.
    Wait { finding: Finding, left: Duration },
}

/// The policy of the application, else of its server, else Delete.
pub fn policy(own: Option<&Deletion>, server: Option<&Deletion>) -> DeletionPolicy {
    own.and_then(|deletion| deletion.policy).or_else(|| server.and_then(|deletion| deletion.policy)).unwrap_or_default()
}

/// The patience of the application, else of its server, else an hour.
pub fn patience(own: Option<&Deletion>, server: Option<&Deletion>) -> Duration {
    let of = |deletion: Option<&Deletion>| deletion?.give_up_after.as_ref()?.parse();
    of(own).or_else(|| of(server)).unwrap_or(GIVE_UP_AFTER)
}

pub fn decide(leaving: &Leaving<'_>) -> Farewell {
    if leaving.observe_only {
        return Farewell::Release(Reason::Retained, "management was Observe: the registration is left as it is".into());
    }
    if leaving.policy == DeletionPolicy::Retain {
        let mut what = vec![match leaving.client_id {
            None => "there is no registration".to_owned(),
            Some(id) => format!("registration {id} is left"),
        }];
        if !leaving.passing.is_empty() {
            let secrets = leaving.passing.join(", ");
            what.push(format!(
                "beside the published secret {secrets} stays valid there, and nobody removes it any more"
            ));
        }
        return Farewell::Release(Reason::Retained, what.join("; "));
    }
    if let Some(obstacle) = &leaving.obstacle {
        return wait_or_hand_over(leaving, obstacle);
    }
    let Some(id) = leaving.client_id else {
        return Farewell::Release(Reason::Deleted, "there was no registration".into());
    };
    if leaving.own_client_id == Some(id) {
        return Farewell::Release(Reason::Retained, format!("{id} is the operator's own registration and is left"));
    }
    if let Some(other) = leaving.shared_with {
        return Farewell::Release(Reason::Retained, format!("registration {id} is left: it also belongs to {other}"));
    }
    match leaving.policy {
        DeletionPolicy::Revoke => Farewell::Revoke(id.clone()),
        _ => Farewell::Delete(id.clone()),
    }
}

/// What to do when the server did not do what it was asked. What it will never do is not waited for.
pub fn after_failure(leaving: &Leaving<'_>, failure: &Finding) -> Farewell {
    match leaving.client_id {
        Some(id) if is_final(failure.reason) => {
            Farewell::Leave { client_id: id.clone(), because: failure.message.clone() }
        }
        _ => wait_or_hand_over(leaving, failure),
    }
}

/// Whether a server that refuses for this reason will refuse for ever.
pub fn is_final(reason: Reason) -> bool {
    matches!(reason, Reason::NotSupported | Reason::RegistrationOutOfReach)
}

/// What to do when the server does not let itself be asked.
pub fn wait_or_hand_over(leaving: &Leaving<'_>, obstacle: &Finding) -> Farewell {
    let patience = SignedDuration::try_from(leaving.give_up_after).unwrap_or(SignedDuration::MAX);
    let left = patience.saturating_sub(leaving.now.duration_since(leaving.deleted_at));
    if leaving.abandon || left <= SignedDuration::ZERO {
        return Farewell::HandOver { client_id: leaving.client_id.cloned(), because: obstacle.message.clone() };
    }
    let left = Duration::try_from(left).unwrap_or_default();
    let retry = match obstacle.retry {
        Retry::After(after) => Retry::After(after.min(left)),
        Retry::OnChange => Retry::After(left),
        Retry::Backoff => Retry::Backoff,
    };
    let message = format!(
        "the registration is not deleted yet: {}. To stop waiting: kubectl annotate with {}=true",
        obstacle.message,
        crate::api::ABANDON
    );
    let finding = Finding { reason: obstacle.reason, message, retry, stalled: false };
    Farewell::Wait { finding, left }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::NOON;

    fn leaving(id: Option<&ClientId>) -> Leaving<'_> {
        Leaving {
            policy: DeletionPolicy::Delete,
            observe_only: false,
            client_id: id,
            passing: Vec::new(),
            own_client_id: None,
            shared_with: None,
            obstacle: None,
            deleted_at: NOON,
            give_up_after: GIVE_UP_AFTER,
            abandon: false,
            now: NOON,
        }
    }

    fn down() -> Finding {
        Finding::passing(Reason::ServerUnreachable, "down", Retry::OnChange)
    }

    #[test]
    fn each_policy_does_what_its_name_says() {
        let id = ClientId::new("id-9");
        assert_eq!(decide(&leaving(Some(&id))), Farewell::Delete(id.clone()));
        let revoke = Leaving { policy: DeletionPolicy::Revoke, ..leaving(Some(&id)) };
        assert_eq!(decide(&revoke), Farewell::Revoke(id.clone()));
        let retain = Leaving { policy: DeletionPolicy::Retain, obstacle: Some(down()), ..leaving(Some(&id)) };
        assert!(matches!(decide(&retain), Farewell::Release(Reason::Retained, _)), "even while the server is down");
        let overlap = Leaving { policy: DeletionPolicy::Retain, passing: vec!["3".into()], ..leaving(Some(&id)) };
        let Farewell::Release(_, said) = decide(&overlap) else { panic!("let go") };
        assert!(said.contains("secret 3 stays valid"), "{said}");
    }

    #[test]
    fn what_a_server_never_does_is_not_waited_for() {
        let id = ClientId::new("id-9");
        for reason in [Reason::NotSupported, Reason::RegistrationOutOfReach] {
            let left = Farewell::Leave { client_id: id.clone(), because: "never".into() };
            assert_eq!(after_failure(&leaving(Some(&id)), &Finding::stalled(reason, "never")), left);
        }
        assert!(matches!(after_failure(&leaving(Some(&id)), &down()), Farewell::Wait { .. }));
        let refused = Finding::stalled(Reason::PermissionDenied, "not yet");
        assert!(matches!(after_failure(&leaving(Some(&id)), &refused), Farewell::Wait { .. }));
    }

    #[test]
    fn what_is_not_ours_alone_is_never_deleted() {
        let id = ClientId::new("id-9");
        let own = Leaving { own_client_id: Some(&id), ..leaving(Some(&id)) };
        let shared = Leaving { shared_with: Some("b/other"), ..leaving(Some(&id)) };
        let watched = Leaving { observe_only: true, ..leaving(Some(&id)) };
        for case in [own, shared, watched] {
            assert!(matches!(decide(&case), Farewell::Release(Reason::Retained, _)));
        }
    }

    #[test]
    fn a_deletion_waits_for_its_server_and_gives_up_in_the_end_or_when_told() {
        let id = ClientId::new("id-9");
        let waiting = Leaving { obstacle: Some(down()), ..leaving(Some(&id)) };
        let Farewell::Wait { finding, left } = decide(&waiting) else { panic!("waits") };
        assert_eq!((finding.retry, left), (Retry::After(GIVE_UP_AFTER), GIVE_UP_AFTER));
        assert!(finding.message.contains("extapp.dev/abandon"), "{}", finding.message);
        let handed = Farewell::HandOver { client_id: Some(id.clone()), because: "down".into() };
        let late =
            Leaving { now: NOON + SignedDuration::from_secs(3_600), obstacle: Some(down()), ..leaving(Some(&id)) };
        assert_eq!(decide(&late), handed);
        let told = Leaving { abandon: true, obstacle: Some(down()), ..leaving(Some(&id)) };
        assert_eq!(decide(&told), handed);
    }
}
