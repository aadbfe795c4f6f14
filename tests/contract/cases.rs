//! The cases.

use extapp::domain::capabilities::Secrets;
use extapp::domain::difference::between;
use extapp::domain::registration::{ClientId, ClientType, Desired, Grant, Mark, Registered, Scope};
use extapp::server::{AuthorizationServer as _, Federating as _, Lane, ServerError};

pub use super::own_key::*;
use super::{Stage, authenticates, desired, unique};
use crate::support::gate::Stop;
use crate::support::{Context as _, Result};

/// How many registrations a long list has: more than one page of any server that has pages.
const MANY: usize = 510;

async fn read<S: Stage>(stage: &S, id: &ClientId) -> Result<Registered> {
    stage.server().get(id, Lane::User).await?.context("the registration is there")
}

fn assert_as_wanted(wanted: &Desired, actual: &Registered) {
    assert_eq!(between(wanted, actual), []);
    assert_eq!(actual.client_type, wanted.client_type);
}

pub async fn what_is_created_is_what_is_read<S: Stage>() -> Result<()> {
    let stage = S::set().await?;
    let [scope, other] = stage.scopes();
    let mut wanted = desired(&unique("Invoices"), scope);
    wanted.redirect_uris = ["https://a.example/cb".into(), "https://b.example/cb?x=1".into()].into();
    wanted.scopes.insert(Scope { name: other.into(), grant: Grant::User });
    let created = stage.server().create(&wanted).await?;
    let id = created.registered.client_id.clone();
    assert_as_wanted(&wanted, &created.registered);
    let actual = read(&stage, &id).await?;
    assert_as_wanted(&wanted, &actual);
    let capabilities = stage.server().capabilities();
    let mark = if capabilities.marks { Mark::Uid(wanted.owner.uid.clone()) } else { Mark::Unsupported };
    assert_eq!(actual.owner, mark);
    let list = stage.server().list(Lane::User).await?;
    let row = list.iter().find(|row| row.client_id == id).context("a row")?;
    assert_eq!((&row.display_name, &row.redirect_uris), (&wanted.display_name, &wanted.redirect_uris));
    assert_eq!(row.owner, actual.owner);
    if let Some(whole) = &row.whole {
        assert_eq!(**whole, actual, "a list that tells as much as a read tells the same");
    }
    Ok(())
}

pub async fn an_application_without_a_secret_never_gets_one<S: Stage>() -> Result<()> {
    let stage = S::set().await?;
    let [scope, _] = stage.scopes();
    let mut wanted = desired(&unique("Desktop"), scope);
    wanted.client_type = ClientType::NonConfidential;
    wanted.redirect_uris = ["http://127.0.0.1:8400/cb".into()].into();
    wanted.scopes = [Scope { name: scope.into(), grant: Grant::User }].into();
    let created = stage.server().create(&wanted).await?;
    assert!(created.credential.is_none());
    let actual = read(&stage, &created.registered.client_id).await?;
    assert_as_wanted(&wanted, &actual);
    assert_eq!(actual.secrets, []);
    Ok(())
}

pub async fn an_update_twice_is_an_update_once_and_keeps_the_secret<S: Stage>() -> Result<()> {
    let stage = S::set().await?;
    let [scope, other] = stage.scopes();
    let first = desired(&unique("Before"), scope);
    let created = stage.server().create(&first).await?;
    let id = created.registered.client_id;
    let secret = created.credential.context("a secret")?.secret;
    let mut wanted = Desired { display_name: unique("After"), ..first };
    wanted.scopes = [Scope { name: other.into(), grant: Grant::Application }].into();
    let mut current = secret.expose().to_owned();
    for _ in 0..2 {
        if let Some(replaced) = stage.server().update(&id, &wanted).await? {
            replaced.secret.expose().clone_into(&mut current);
        }
        assert_as_wanted(&wanted, &read(&stage, &id).await?);
    }
    assert!(authenticates(stage.server(), &id, &current, other).await?);
    Ok(())
}

pub async fn what_is_deleted_is_gone_and_may_be_deleted_again<S: Stage>() -> Result<()> {
    let stage = S::set().await?;
    let [scope, _] = stage.scopes();
    let wanted = desired(&unique("Short-lived"), scope);
    let created = stage.server().create(&wanted).await?;
    let id = created.registered.client_id;
    let secret = created.credential.context("a secret")?.secret;
    stage.server().delete(&id).await?;
    stage.server().delete(&id).await?;
    assert!(stage.server().get(&id, Lane::User).await?.is_none());
    assert!(stage.server().list(Lane::User).await?.iter().all(|row| row.client_id != id));
    assert!(!authenticates(stage.server(), &id, secret.expose(), scope).await?);
    assert_eq!(stage.server().update(&id, &wanted).await.err(), Some(ServerError::NotFound));
    Ok(())
}

pub async fn the_secret_is_shown_once_and_works_until_it_is_replaced_or_removed<S: Stage>() -> Result<()> {
    let stage = S::set().await?;
    let server = stage.server();
    let [scope, _] = stage.scopes();
    let wanted = desired(&unique("Secret"), scope);
    let created = server.create(&wanted).await?;
    let id = created.registered.client_id.clone();
    let first = created.credential.context("a secret")?;
    assert!(authenticates(server, &id, first.secret.expose(), scope).await?);
    assert!(!authenticates(server, &id, "wrong", scope).await?);
    let before = read(&stage, &id).await?;
    let listed =
        |actual: &Registered| -> Vec<String> { actual.secrets.iter().map(|info| info.id.to_string()).collect() };
    let first_id = first.id.map_or_else(|| listed(&before)[0].clone(), |id| id.to_string());
    assert_eq!(listed(&before), std::slice::from_ref(&first_id));
    let marker = format!("extapp {}", wanted.owner.uid);
    match server.capabilities().secrets {
        Secrets::Fixed => {
            let refused = server.add_secret(&id, &marker).await.err();
            assert!(matches!(refused, Some(ServerError::Unsupported { .. })), "{refused:?}");
        }
        Secrets::One => {
            let second = server.add_secret(&id, &marker).await?;
            assert!(second.replaces);
            let after = read(&stage, &id).await?;
            assert_eq!(listed(&after), [second.id.context("an id")?.to_string()], "the first one's id is gone");
            assert_ne!(listed(&after), listed(&before));
            assert!(authenticates(server, &id, second.secret.expose(), scope).await?);
            assert!(!authenticates(server, &id, first.secret.expose(), scope).await?);
            server.remove_secret(&id, &extapp::domain::registration::SecretId::new(first_id)).await?;
            assert!(
                authenticates(server, &id, second.secret.expose(), scope).await?,
                "removing what is gone is harmless"
            );
            for info in read(&stage, &id).await?.secrets {
                server.remove_secret(&id, &info.id).await?;
            }
            assert!(!authenticates(server, &id, second.secret.expose(), scope).await?, "nobody knows the one there is");
        }
        Secrets::Several => {
            let second = server.add_secret(&id, &marker).await?;
            for secret in [&first.secret, &second.secret] {
                assert!(authenticates(server, &id, secret.expose(), scope).await?);
            }
            let after = read(&stage, &id).await?;
            assert!(after.secrets.iter().any(|info| info.description.as_ref() == Some(&marker)));
            server.remove_secret(&id, &extapp::domain::registration::SecretId::new(&first_id)).await?;
            server.remove_secret(&id, &extapp::domain::registration::SecretId::new(first_id)).await?;
            assert!(!authenticates(server, &id, first.secret.expose(), scope).await?);
            assert!(authenticates(server, &id, second.secret.expose(), scope).await?);
        }
    }
    Ok(())
}

pub async fn a_create_whose_answer_is_lost_is_found_again_exactly<S: Stage>() -> Result<()> {
    let stage = S::set().await?;
    let [scope, _] = stage.scopes();
    let name = unique("Lost");
    let twin = stage.server().create(&desired(&name, scope)).await?.registered.client_id;
    let (method, part) = stage.create();
    for stop in [Stop::Cut, Stop::LoseAnswer, Stop::LateError(504)] {
        let wanted = desired(&name, scope);
        let known: Vec<ClientId> =
            stage.server().list(Lane::User).await?.into_iter().map(|row| row.client_id).collect();
        assert!(known.contains(&twin));
        stage.gate().ambush(&method, part, 1, stop);
        assert_eq!(stage.server().create(&wanted).await.err(), Some(ServerError::Ambiguous), "{stop:?}");
        let list = stage.server().list(Lane::User).await?;
        let new: Vec<_> = list.iter().filter(|row| !known.contains(&row.client_id)).collect();
        let capabilities = stage.server().capabilities();
        if !capabilities.lists {
            assert!(new.is_empty(), "nothing is known of what the server does not list");
            continue;
        }
        let ours: Vec<_> = new
            .iter()
            .filter(|row| row.display_name == name && (!capabilities.marks || row.owner.names(&wanted.owner.uid)))
            .collect();
        assert_eq!(ours.len(), 1, "{stop:?}: sent once, and found");
        assert_as_wanted(&wanted, &read(&stage, &ours[0].client_id).await?);
    }
    Ok(())
}

pub async fn a_scope_that_nobody_knows_is_refused_for_certain_where_the_server_knows_its_scopes<S: Stage>() -> Result<()>
{
    let stage = S::set().await?;
    let wanted = desired(&unique("Unknown scope"), "Nobody.Knows.This");
    let result = stage.server().create(&wanted).await;
    if !stage.refuses_unknown_scopes() {
        assert!(result.is_ok(), "{:?}", result.err());
        return Ok(());
    }
    let error = result.err().context("a refusal")?;
    assert!(matches!(error, ServerError::Rejected { .. }), "{error:?}");
    let list = stage.server().list(Lane::User).await?;
    assert!(list.iter().all(|row| row.display_name != wanted.display_name), "nothing is left behind");
    Ok(())
}

pub async fn every_page_of_a_long_list_is_read<S: Stage>() -> Result<()> {
    let stage = S::set().await?;
    let [scope, _] = stage.scopes();
    let name = unique("Many");
    // Where the server does not list, what is listed are our own records, which have no pages.
    let count = if stage.server().capabilities().lists { MANY } else { 12 };
    let creates = (0..count).map(|number| {
        let wanted = desired(&format!("{name} {number}"), scope);
        let server = stage.server();
        async move { server.create(&wanted).await.map(|created| created.registered.client_id) }
    });
    let mut made: Vec<ClientId> = Vec::new();
    let mut creates = futures::StreamExt::buffer_unordered(futures::stream::iter(creates), 3);
    while let Some(id) = futures::StreamExt::next(&mut creates).await {
        made.push(id?);
    }
    let list = stage.server().list(Lane::User).await?;
    let mut listed: Vec<ClientId> =
        list.into_iter().filter(|row| row.display_name.starts_with(&name)).map(|row| row.client_id).collect();
    made.sort();
    listed.sort();
    assert_eq!(listed, made, "each once");
    Ok(())
}

pub async fn a_server_that_limits_requests_is_told_apart_and_not_asked_again<S: Stage>() -> Result<()> {
    let stage = S::set().await?;
    let [scope, _] = stage.scopes();
    let wanted = desired(&unique("Limited"), scope);
    let id = stage.server().create(&wanted).await?.registered.client_id;
    let (method, part) = stage.read(&id);
    let stops = stage.gate().stops();
    stage.gate().ambush(&method, &part, 2, Stop::Refuse(429));
    let limited = stage.server().get(&id, Lane::User).await.err().context("refused")?;
    assert!(matches!(limited, ServerError::RateLimited { .. }), "{limited:?}");
    assert_eq!(stage.gate().stops(), stops + 1, "asked once");
    // Until the time has come, a request is refused without being sent.
    let again = stage.server().get(&id, Lane::User).await.err().context("refused")?;
    assert!(matches!(again, ServerError::Budget { .. } | ServerError::RateLimited { .. }), "{again:?}");
    Ok(())
}

pub async fn a_server_that_does_not_answer_in_time_leaves_a_create_unknown<S: Stage>() -> Result<()> {
    let stage = S::set().await?;
    let [scope, _] = stage.scopes();
    let id = stage.server().create(&desired(&unique("Slow"), scope)).await?.registered.client_id;
    let (method, part) = stage.read(&id);
    stage.gate().ambush(&method, &part, 1, Stop::HoldRequest);
    assert_eq!(stage.server().get(&id, Lane::User).await.err(), Some(ServerError::Timeout));
    let (method, part) = stage.create();
    stage.gate().ambush(&method, part, 1, Stop::HoldAnswer);
    let create = stage.server().create(&desired(&unique("Slow"), scope)).await;
    assert_eq!(create.err(), Some(ServerError::Ambiguous));
    stage.gate().release();
    assert!(stage.server().get(&id, Lane::User).await?.is_some());
    Ok(())
}

pub async fn a_server_that_fails_leaves_a_create_unknown<S: Stage>() -> Result<()> {
    let stage = S::set().await?;
    let [scope, _] = stage.scopes();
    let id = stage.server().create(&desired(&unique("Failing"), scope)).await?.registered.client_id;
    let (method, part) = stage.read(&id);
    for status in [500, 502, 503] {
        stage.gate().ambush(&method, &part, 1, Stop::Refuse(status));
        assert_eq!(stage.server().get(&id, Lane::User).await.err(), Some(ServerError::Failed { status }));
    }
    let (method, part) = stage.create();
    for status in [500, 503] {
        stage.gate().ambush(&method, part, 1, Stop::Refuse(status));
        let create = stage.server().create(&desired(&unique("Failing"), scope)).await;
        assert_eq!(create.err(), Some(ServerError::Ambiguous), "{status}");
    }
    Ok(())
}

pub async fn two_changes_at_once_end_as_one_of_them_and_leave_the_rest_alone<S: Stage>() -> Result<()> {
    let stage = S::set().await?;
    let [scope, other] = stage.scopes();
    let wanted = desired(&unique("Disputed"), scope);
    let id = stage.server().create(&wanted).await?.registered.client_id;
    let touched = stage.touch(&id).await?;
    let one = Desired { display_name: unique("One"), ..wanted.clone() };
    let mut two = Desired { display_name: unique("Two"), ..wanted };
    two.scopes = [Scope { name: other.into(), grant: Grant::Application }].into();
    let (first, second) = tokio::join!(stage.server().update(&id, &one), stage.server().update(&id, &two));
    // Who came second may be told so.
    for result in [&first, &second] {
        assert!(matches!(result, Ok(_) | Err(ServerError::Conflict { .. })), "{:?}", result.as_ref().err());
    }
    assert!(first.is_ok() || second.is_ok());
    let actual = read(&stage, &id).await?;
    assert!(
        between(&one, &actual).is_empty() || between(&two, &actual).is_empty(),
        "neither the one nor the other: {actual:?}"
    );
    if let Some((pointer, value)) = touched {
        assert_eq!(stage.seen(&id).await?.pointer(pointer), Some(&value), "what is not ours is kept");
    }
    Ok(())
}

pub async fn what_is_not_ours_is_not_touched<S: Stage>() -> Result<()> {
    let stage = S::set().await?;
    let [scope, other] = stage.scopes();
    let name = unique("Shared name");
    let foreign = stage.by_hand(&name).await?;
    let before = stage.seen(&foreign).await?;
    let wanted = desired(&name, scope);
    let id = stage.server().create(&wanted).await?.registered.client_id;
    assert_ne!(id, foreign);
    let mut changed = wanted.clone();
    changed.scopes = [Scope { name: other.into(), grant: Grant::Application }].into();
    stage.server().update(&id, &changed).await?;
    if stage.server().capabilities().marks
        && let Some(row) = stage.server().list(Lane::User).await?.iter().find(|row| row.client_id == foreign)
    {
        assert_eq!(row.owner, Mark::Absent, "nobody's registration is not taken for ours");
    }
    stage.server().delete(&id).await?;
    assert_eq!(stage.seen(&foreign).await?, before);
    Ok(())
}

pub async fn federated_credentials_are_told_by_name_and_the_answer_to_a_new_one_may_be_lost<S: Stage>() -> Result<()> {
    let stage = S::set().await?;
    let server = stage.server();
    let [scope, _] = stage.scopes();
    let secretless = Desired { secretless: true, ..desired(&unique("Federated"), scope) };
    let Some(federation) = server.capabilities().federation else {
        assert!(stage.trusts().await?.is_none(), "what a server can do is said");
        let refused = server.federated(&ClientId::new("none"), Lane::User).await.err();
        assert!(matches!(refused, Some(ServerError::Unsupported { .. })), "{refused:?}");
        return Ok(());
    };
    let created = server.create(&secretless).await?;
    assert!(created.credential.is_none(), "no secret was asked for");
    let id = created.registered.client_id;
    assert_eq!(server.federated(&id, Lane::User).await?, []);
    let [first, second] = stage.trusts().await?.context("what the server can be told to trust")?;
    let added = server.add_federated(&id, &first).await?;
    assert_eq!(added.trust, first);
    assert_eq!(server.federated(&id, Lane::Resync).await?, std::slice::from_ref(&added));

    for _ in 0..2 {
        server.replace_federated(&id, &added.id, &second).await?;
        let there = server.federated(&id, Lane::User).await?;
        assert_eq!(there.iter().map(|federated| &federated.trust).collect::<Vec<_>>(), [&second]);
    }
    let current = server.federated(&id, Lane::User).await?.remove(0);
    for _ in 0..2 {
        server.remove_federated(&id, &current.id).await?;
    }
    assert_eq!(server.federated(&id, Lane::User).await?, []);

    if federation.most > 1 {
        // What is made by one request can be lost with its answer.
        stage.gate().ambush(&axum::http::Method::POST, "/FederatedCredentials", 1, Stop::Cut);
        assert_eq!(server.add_federated(&id, &first).await.err(), Some(ServerError::Ambiguous));
        let found = server.federated(&id, Lane::User).await?;
        assert_eq!(found.iter().map(|federated| &federated.trust).collect::<Vec<_>>(), [&first], "found by its name");
    }
    server.delete(&id).await?;
    Ok(())
}
