//! The log-in page.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Extension, OriginalUri, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use secrecy::SecretString;

use super::attempts::TooMany;
use super::browser::Browser;
use super::error_page::see_other;
use super::form::Form;
use super::interaction::{self, Interaction, Stopped};
use crate::local_cloud::clock;
use crate::local_cloud::cloud::Cloud;
use crate::local_cloud::connection::Peer;
use crate::local_cloud::pages::{self, Problem};
use crate::local_cloud::passwords;
use crate::local_cloud::store::people::{self, Person};
use crate::local_cloud::store::sign_in::{self, NewSession};

/// How long a person stays signed in, in milliseconds.
const SESSION_LIFETIME: i64 = 8 * 3_600_000;

/// The longest address and password that are looked at, in bytes, as in the file of people.
const LONGEST: usize = 256;

const WRONG: Problem<'static> =
    Problem { text: "The e-mail address or the password is not right.", field: Some("email") };
const EMPTY: Problem<'static> = Problem { text: "Enter your e-mail address and your password.", field: Some("email") };

/// `GET /web/login`: goes on to the consent page if somebody is signed in.
pub async fn show(State(cloud): State<Arc<Cloud>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let form = Form::read(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    match interaction::open(&cloud, &headers, form.get("request")).await {
        Ok(interaction) if interaction.session.is_some() => onward(&interaction.request),
        Ok(interaction) => {
            let email = interaction.details.login_hint.clone().unwrap_or_default();
            page(&cloud, &interaction, &email, None, StatusCode::OK)
                .await
                .unwrap_or_else(|stopped| stopped.page(&cloud))
        }
        Err(stopped) => stopped.page(&cloud),
    }
}

/// `POST /web/login`.
pub async fn receive(
    State(cloud): State<Arc<Cloud>>,
    peer: Option<Extension<ConnectInfo<Peer>>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let address = peer.map(|Extension(ConnectInfo(peer))| peer.address);
    sign_in(&cloud, address, &uri, &headers, &body).await.unwrap_or_else(|stopped| stopped.page(&cloud))
}

async fn sign_in(
    cloud: &Arc<Cloud>,
    address: Option<IpAddr>,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, Stopped> {
    let (interaction, form) = interaction::receive(cloud, headers, body).await?;
    let email = form.get("email").unwrap_or_default().trim();
    let password = SecretString::from(form.get("password").unwrap_or_default());
    let again = async |problem, status| page(cloud, &interaction, email, Some(problem), status).await;
    if email.is_empty() || form.get("password").is_none() {
        return again(EMPTY, StatusCode::UNPROCESSABLE_ENTITY).await;
    }
    if email.len() > LONGEST || form.get("password").is_some_and(|password| password.len() > LONGEST) {
        return again(WRONG, StatusCode::UNPROCESSABLE_ENTITY).await;
    }
    if let Err(TooMany { seconds }) = cloud.attempts.begin(email, address, cloud.clock.now_milliseconds()) {
        let text = format!("There were too many attempts. Try again in {} minutes.", (seconds + 59) / 60);
        let mut response = again(Problem { text: &text, field: None }, StatusCode::TOO_MANY_REQUESTS).await?;
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        return Ok(response);
    }
    let key = email.to_owned();
    let found = cloud.store.read(move |store| people::by_email(store, &key)).await?;
    let (person, stored) = found.unzip();
    let proven = passwords::proves(password, stored).await;
    match person.filter(|_| proven) {
        Some(person) => {
            cloud.attempts.succeeded(email, address);
            start(cloud, &interaction, uri, person).await
        }
        None => again(WRONG, StatusCode::UNPROCESSABLE_ENTITY).await,
    }
}

/// Signs `person` in under a new cookie: one that somebody has planted before is of no use to them.
async fn start(cloud: &Cloud, interaction: &Interaction, uri: &Uri, person: Person) -> Result<Response, Stopped> {
    let (browser, now) = (Browser::fresh()?, cloud.clock.now_milliseconds());
    let session = NewSession {
        hash: browser.hash.clone(),
        id: clock::random_uuid()?.simple().to_string(),
        person: person.id,
        signed_in: now,
        expires: now + SESSION_LIFETIME,
    };
    let (before, request) = (interaction.browser.hash.clone(), interaction.hash());
    cloud.store.write(move |store| sign_in::start(store, &before, &request, &session)).await?;
    let mut response = onward(&interaction.request);
    if let Some(cookie) = browser.set_cookie(&cloud.cookie, uri) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

fn onward(request: &str) -> Response {
    see_other(&format!("consent?request={request}"))
}

async fn page(
    cloud: &Cloud,
    interaction: &Interaction,
    email: &str,
    problem: Option<Problem<'_>>,
    status: StatusCode,
) -> Result<Response, Stopped> {
    let anybody = cloud.store.read(people::any).await?;
    let page = pages::Login {
        application: &interaction.application.registration.name,
        request: &interaction.request,
        csrf: &interaction.form_token(),
        email,
        nobody: !anybody,
        problem,
    };
    Ok(page.page(&cloud.organization.name, status))
}
