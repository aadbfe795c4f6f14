//! The consent page. It is shown for every request: nothing is allowed because it was allowed before.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{OriginalUri, RawQuery, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::Response;
use secrecy::ExposeSecret;

use super::authorize;
use super::browser::Browser;
use super::error_page::see_other;
use super::form::Form;
use super::interaction::{self, Interaction, Stopped};
use super::redirect;
use super::request::Told;
use super::scopes::{self, EMAIL, OF_OPENID_CONNECT, OFFLINE_ACCESS, OPENID, PROFILE};
use crate::local_cloud::catalogue::Catalogue;
use crate::local_cloud::clock;
use crate::local_cloud::cloud::Cloud;
use crate::local_cloud::pages::{self, Group, Scope};
use crate::local_cloud::secrets::{self, SecretHash};
use crate::local_cloud::store::grants::{self, Binding, Grant};
use crate::local_cloud::store::sign_in::{self, Session};

/// `GET /web/consent`.
pub async fn show(State(cloud): State<Arc<Cloud>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let form = Form::read(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    match interaction::open(&cloud, &headers, form.get("request")).await {
        Ok(interaction) => match &interaction.session {
            Some(session) => page(&cloud, &interaction, session),
            None => to_login(&interaction.request),
        },
        Err(stopped) => stopped.page(&cloud),
    }
}

/// `POST /web/consent`.
pub async fn receive(
    State(cloud): State<Arc<Cloud>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    decide(&cloud, &uri, &headers, &body).await.unwrap_or_else(|stopped| stopped.page(&cloud))
}

async fn decide(cloud: &Arc<Cloud>, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Result<Response, Stopped> {
    let (interaction, form) = interaction::receive(cloud, headers, body).await?;
    let Some(session) = &interaction.session else { return Ok(to_login(&interaction.request)) };
    match form.get("decision") {
        Some("allow") => allow(cloud, &interaction, session).await,
        Some("cancel") => cancel(cloud, &interaction).await,
        Some("switch") => switch(cloud, &interaction, uri).await,
        _ => Ok(page(cloud, &interaction, session)),
    }
}

/// Issues a code (RFC 6749 section 4.1.2) that is good for one client, one redirect URI, one challenge, one session.
async fn allow(cloud: &Cloud, interaction: &Interaction, session: &Session) -> Result<Response, Stopped> {
    let (details, registered) = (&interaction.details, &interaction.application.registration.scopes);
    if !details.scope.iter().all(|name| scopes::allowed_for_people(registered, name)) {
        // The registration has changed since the person was asked.
        return Err(Stopped::Gone);
    }
    let (code, now) = (secrets::opaque()?, cloud.clock.now_milliseconds());
    let grant = Grant {
        id: clock::random_uuid()?.simple().to_string(),
        client: interaction.application.id.clone(),
        person: session.person.id.clone(),
        session: session.id.clone(),
        scope: details.scope.clone(),
        nonce: details.nonce.clone(),
        signed_in: session.signed_in,
    };
    let binding = Binding { redirect_uri: details.redirect_uri.clone(), challenge: details.challenge.clone() };
    let (request, hash) = (interaction.hash(), SecretHash::of(&code));
    let stored = cloud.store.write(move |store| {
        let first = sign_in::answered(store, &request)?;
        if first {
            grants::allow(store, &grant, &hash, &binding, now)?;
        }
        Ok(first)
    });
    if !stored.await? {
        return Err(Stopped::Gone);
    }
    let parameters = [("code", code.expose_secret())];
    Ok(authorize::answer(cloud, &details.redirect_uri, details.state.as_deref(), &parameters))
}

async fn cancel(cloud: &Cloud, interaction: &Interaction) -> Result<Response, Stopped> {
    let request = interaction.hash();
    if !cloud.store.write(move |store| sign_in::answered(store, &request)).await? {
        return Err(Stopped::Gone);
    }
    let told = Told { error: "access_denied", description: "The person did not allow it".to_owned() };
    let details = &interaction.details;
    Ok(authorize::refuse(cloud, &details.redirect_uri, details.state.as_deref(), &told))
}

/// Signs out and begins anew with the same request.
async fn switch(cloud: &Cloud, interaction: &Interaction, uri: &Uri) -> Result<Response, Stopped> {
    let (browser, before) = (Browser::fresh()?, interaction.browser.hash.clone());
    let after = browser.hash.clone();
    cloud
        .store
        .write(move |store| {
            sign_in::end(store, &before)?;
            sign_in::move_requests(store, &before, &after)
        })
        .await?;
    let mut response = to_login(&interaction.request);
    if let Some(cookie) = browser.set_cookie(&cloud.cookie, uri) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

fn to_login(request: &str) -> Response {
    see_other(&format!("login?request={request}"))
}

fn page(cloud: &Cloud, interaction: &Interaction, session: &Session) -> Response {
    let page = pages::Consent {
        application: &interaction.application.registration.name,
        request: &interaction.request,
        csrf: &interaction.form_token(),
        name: &session.person.name,
        email: &session.person.email,
        groups: groups(&cloud.catalogue, &interaction.details.scope),
        destination: &redirect::destination(&interaction.details.redirect_uri),
    };
    page.page(&cloud.organization.name, &redirect::form_target(&interaction.details.redirect_uri))
}

/// The scopes by resource, in the order in which they were asked for; what is about the person comes first.
fn groups<'a>(catalogue: &'a Catalogue, scopes: &'a [String]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let (personal, others): (Vec<_>, Vec<_>) =
        scopes.iter().partition(|name| OF_OPENID_CONNECT.contains(&name.as_str()));
    for name in personal.into_iter().chain(others) {
        let title = catalogue.find(name).map_or("About you", |(resource, _)| resource.display_name);
        let description = catalogue.description(name).unwrap_or_else(|| about_the_person(name));
        let scope = Scope { name, description };
        match groups.iter_mut().find(|group| group.title == title) {
            Some(group) => group.scopes.push(scope),
            None => groups.push(Group { title, scopes: vec![scope] }),
        }
    }
    groups
}

fn about_the_person(scope: &str) -> &'static str {
    match scope {
        OPENID => "Know that it is you",
        PROFILE => "See your name",
        EMAIL => "See your e-mail address",
        OFFLINE_ACCESS => "Keep this access while you are away, for up to 60 days after it was last used",
        _ => "Something that the catalogue does not explain",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_shown_by_resource_and_what_is_about_the_person_comes_first() {
        let (catalogue, scopes) = (Catalogue::seeded(), ["OR.Jobs", "openid", "TM.Users.Read", "OR.Default"]);
        let scopes = scopes.map(str::to_owned);
        let groups = groups(&catalogue, &scopes);
        let shown: Vec<(&str, Vec<&str>)> =
            groups.iter().map(|group| (group.title, group.scopes.iter().map(|scope| scope.name).collect())).collect();
        let expected = [
            ("About you", vec!["openid"]),
            ("Orchestrator API Access", vec!["OR.Jobs", "OR.Default"]),
            ("Test Manager API Access", vec!["TM.Users.Read"]),
        ];
        assert_eq!(shown, expected);
    }
}
