use super::*;
use crate::domain::fixtures;
use crate::domain::registration::ClientSecret;
use crate::server::ServerText;

fn found(scope: Option<&str>, way: Way) -> Found {
    Found {
        client_id: "id-1".into(),
        token_endpoint: "https://cloud.example.com/token".into(),
        scope: scope.map(Into::into),
        way,
    }
}

fn secret() -> Way {
    Way::Secret { secret: ClientSecret::new("canary"), object: "a-oauth".into(), id: Some("7".into()), method: None }
}

fn refusal(code: &str) -> Answered {
    Answered::Refused { code: Some(code.into()), text: ServerText::quote(code, &[]) }
}

fn report(found: &Found, answered: &Answered) -> Report {
    Report::of(&fixtures::app(), found, answered, fixtures::NOON)
}

#[test]
fn what_a_refusal_means_depends_on_who_asked_for_what() {
    let account = || Way::ServiceAccount { credential: "pods".into(), account: "a".into(), audience: "b".into() };
    let table = [
        (found(Some("OR.Queues"), secret()), "invalid_client", Verdict::Refused, 3, "extapp rotate"),
        (found(Some("OR.Queues"), account()), "invalid_client", Verdict::Refused, 3, "issuer and audience"),
        (found(Some("OR.Queues"), secret()), "invalid_scope", Verdict::Refused, 3, "not granted"),
        (found(Some("OR.Queues"), secret()), "unauthorized_client", Verdict::Refused, 3, "this grant"),
        (found(None, secret()), "invalid_grant", Verdict::Recognised, 0, "sign in"),
        (found(None, Way::Public), "invalid_grant", Verdict::Recognised, 0, "sign in"),
        (found(None, Way::Public), "invalid_client", Verdict::Refused, 3, "does not know the client"),
        (found(Some("OR.Queues"), secret()), "invalid_grant", Verdict::Refused, 3, "refused"),
    ];
    for (found, code, verdict, exit, said) in table {
        let report = report(&found, &refusal(code));
        let message = report.message.as_deref().unwrap_or_default();
        assert_eq!((report.verdict, report.exit().code()), (verdict, exit), "{code}");
        assert!(message.contains(said), "{code}: {message}");
        assert!(!format!("{report:?}").contains("canary"));
    }
}

#[test]
fn nothing_to_try_with_is_no_verification() {
    let report = Report::unverified(&fixtures::app(), "it is not registered yet".into());
    assert_eq!((report.verdict, report.exit()), (Verdict::NotVerified, Exit::NotReady));
}

#[test]
fn a_token_without_some_of_the_scopes_is_not_what_was_published() {
    let found = found(Some("OR.Queues OR.Jobs"), secret());
    let granted = |scope: Option<&str>| report(&found, &Answered::Granted(Access::of("opaque", scope, Some(3600))));
    let whole = granted(None);
    assert_eq!((whole.verdict, whole.exit()), (Verdict::Verified, Exit::Done));
    assert_eq!(whole.expires_at, Some(fixtures::NOON + SignedDuration::from_hours(1)));
    assert!(whole.claims.is_none(), "an opaque token says nothing");
    assert_eq!(granted(Some("OR.Jobs OR.Queues OR.Default")).verdict, Verdict::Verified);
    let less = granted(Some("OR.Jobs"));
    assert_eq!((less.verdict, less.exit()), (Verdict::ScopesMissing, Exit::NotReady));
    assert!(less.message.is_some_and(|message| message.contains("without OR.Queues")));
}
