//! The log-in page and the consent page.

use extapp::local_cloud::Config;
use reqwest::Method;
use serde_json::json;

use super::Cloud;
use super::person::{ADA, BOB, CALLBACK, Page, Visitor, people, query};
use crate::support::Program;
use crate::support::local_cloud::LocalCloud;

#[tokio::test]
async fn a_person_signs_in_allows_and_lands_at_the_application_with_a_code() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let page = ada.begin(&[("client_id", &id), ("state", "a b&c")]).await;
    assert_eq!((page.status, page.url.path()), (200, "/identity_/web/login"));
    assert!(page.html.contains("Sign in to continue to Time sheets"), "{}", page.html);
    let page = ada.log_in(&page, ADA).await;
    assert_eq!(page.status, 303);
    let page = ada.follow(page).await;
    assert_eq!((page.status, page.url.path()), (200, "/identity_/web/consent"));
    for expected in
        ["Time sheets", "Ada Lovelace", "ada@acme.example", "Read and change jobs", "http:&#x2f;&#x2f;localhost:5173"]
    {
        assert!(page.html.contains(expected), "{expected}: {}", page.html);
    }
    let page = ada.decide(&page, "allow").await;
    assert_eq!(page.status, 303);
    let location = page.location().unwrap();
    assert!(location.as_str().starts_with(CALLBACK));
    let answer = query(&location);
    assert_eq!(answer.keys().collect::<Vec<_>>(), ["code", "iss", "state"]);
    assert_eq!((answer["state"].as_str(), answer["iss"].as_str()), ("a b&c", cloud.at("").as_str()));
}

#[tokio::test]
async fn whoever_cancels_lands_at_the_application_with_access_denied() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let page = ada.consent_page(&[("client_id", &id), ("state", "s")]).await;
    let page = ada.decide(&page, "cancel").await;
    let answer = query(&page.location().unwrap());
    assert_eq!((answer["error"].as_str(), answer["state"].as_str()), ("access_denied", "s"));
    assert_eq!(answer["iss"], cloud.at(""));
    assert!(!answer.contains_key("code"));
}

#[tokio::test]
async fn the_organization_may_stand_in_the_path_and_the_request_may_come_as_a_form() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let url = format!("{}/identity_/connect/authorize", cloud.running.url());
    let form =
        [("client_id", id.as_str()), ("response_type", "code"), ("redirect_uri", CALLBACK), ("scope", "OR.Jobs")];
    let mut ada = Visitor::new(&cloud);
    let page = ada.post(&url, &form).await;
    assert_eq!((page.status, page.header("set-cookie")), (303, ""), "a form of another site comes without a cookie");
    let page = ada.get(page.location().unwrap().as_str()).await;
    assert!(page.header("set-cookie").contains("; Path=/acme/identity_; "), "{}", page.header("set-cookie"));
    let page = ada.follow(page).await;
    assert_eq!(page.url.path(), "/acme/identity_/web/login");
    let page = ada.log_in(&page, ADA).await;
    let page = ada.follow(page).await;
    let page = ada.decide(&page, "allow").await;
    assert_eq!(query(&page.location().unwrap())["iss"], cloud.at(""));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_person_look_the_same_and_say_what_to_do() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let page = ada.begin(&[("client_id", &id)]).await;
    let mut refusals = Vec::new();
    for (email, password) in [(ADA.0, "wrong password"), ("eve@acme.example", ADA.1), (ADA.0, BOB.1)] {
        let refused = ada.log_in(&page, (email, password)).await;
        assert_eq!(refused.status, 422);
        assert!(refused.headers.get("set-cookie").is_none());
        assert!(refused.html.contains("role=\"alert\"") && refused.html.contains("aria-invalid=\"true\""));
        assert!(refused.html.contains("<title>Error: Sign in"), "{}", refused.html);
        assert!(!refused.html.contains(password));
        refusals.push(refused.html.replace(email, "EMAIL"));
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    let empty = ada.log_in(&page, (ADA.0, "")).await;
    assert_eq!(empty.status, 422);
    assert!(empty.html.contains("Enter your e-mail address and your password."));
    assert_eq!(ada.log_in(&page, (&ADA.0.to_uppercase(), ADA.1)).await.status, 303);
}

#[tokio::test]
async fn an_account_is_closed_for_a_while_after_too_many_failures_even_for_the_right_password() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let page = ada.begin(&[("client_id", &id)]).await;
    for _ in 0..10 {
        assert_eq!(ada.log_in(&page, (ADA.0, "wrong password")).await.status, 422);
    }
    let closed = ada.log_in(&page, ADA).await;
    assert_eq!((closed.status, closed.header("retry-after")), (429, "300"));
    assert!(closed.html.contains("Try again in 5 minutes."), "{}", closed.html);
    assert_eq!(ada.log_in(&page, BOB).await.status, 303);
    cloud.clock.advance(300_000);
    let page = Visitor::new(&cloud).consent_page(&[("client_id", &id)]).await;
    assert!(page.html.contains("Ada Lovelace"));
}

#[tokio::test]
async fn an_address_is_closed_for_a_while_after_too_many_failures_with_any_accounts() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let page = ada.begin(&[("client_id", &id)]).await;
    let action = page.url.join("login").unwrap();
    for index in 0..100 {
        // What a proxy might say is not believed: anybody can say it.
        let (email, forwarded) = (format!("{index}@acme.example"), format!("10.0.0.{index}"));
        let mut form = page.hidden();
        form.extend([("email", email.as_str()), ("password", "wrong password")]);
        let refused = ada.post_with(action.as_str(), &form, &[("x-forwarded-for", &forwarded)]).await;
        assert_eq!(refused.status, 422);
    }
    assert_eq!(ada.log_in(&page, ADA).await.status, 429);
}

#[tokio::test]
async fn without_people_the_page_says_how_to_add_some() {
    let cloud = Cloud::start().await;
    let (id, _) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let page = ada.begin(&[("client_id", &id)]).await;
    assert!(page.html.contains("--people FILE"), "{}", page.html);
    assert_eq!(ada.log_in(&page, ADA).await.status, 422);
}

#[tokio::test]
async fn whoever_is_signed_in_is_asked_for_consent_only_and_each_time() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    ada.allow(&[("client_id", &id)]).await;
    let page = ada.begin(&[("client_id", &id)]).await;
    assert_eq!(page.url.path(), "/identity_/web/consent");
    cloud.clock.advance(8 * 3_600_000);
    let page = ada.begin(&[("client_id", &id)]).await;
    assert_eq!(page.url.path(), "/identity_/web/login");
}

#[tokio::test]
async fn someone_else_can_sign_in_from_the_consent_page_for_the_same_request() {
    let cloud = Cloud::with_people().await;
    let (id, secret) = cloud.web_application().await;
    let mut browser = Visitor::new(&cloud);
    let page = browser.consent_page(&[("client_id", &id), ("scope", "openid email OR.Jobs"), ("state", "s")]).await;
    let before = browser.cookie.clone();
    let page = browser.decide(&page, "switch").await;
    let page = browser.follow(page).await;
    assert_eq!(page.url.path(), "/identity_/web/login");
    assert_ne!(browser.cookie, before);
    let page = browser.log_in(&page, BOB).await;
    let page = browser.follow(page).await;
    assert!(page.html.contains("bob@acme.example") && !page.html.contains("ada@acme.example"));
    let answer = query(&browser.decide(&page, "allow").await.location().unwrap());
    assert_eq!(answer["state"], "s");
    let (_, tokens) = cloud.redeem((&id, &secret), &answer["code"], &[]).await;
    assert_eq!(cloud.userinfo(tokens["access_token"].as_str().unwrap()).await.1["email"], BOB.0);
    // Ada's cookie opens nothing any more.
    browser.cookie = before;
    assert_eq!(browser.begin(&[("client_id", &id)]).await.url.path(), "/identity_/web/login");
}

#[tokio::test]
async fn the_cookie_changes_with_the_sign_in_and_scripts_cannot_read_it() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let page = ada.begin(&[("client_id", &id)]).await;
    let planted = ada.cookie.clone();
    let page = ada.log_in(&page, ADA).await;
    let set = page.header("set-cookie").to_owned();
    assert!(set.ends_with("; Path=/identity_; HttpOnly; SameSite=Lax"), "{set}");
    assert_ne!(ada.cookie, planted);
    ada.cookie = planted;
    assert_eq!(ada.begin(&[("client_id", &id)]).await.url.path(), "/identity_/web/login");
}

#[tokio::test]
async fn a_request_expires_and_is_answered_once() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let login = ada.begin(&[("client_id", &id)]).await;
    let consent = ada.consent_page(&[("client_id", &id)]).await;
    assert_eq!(ada.decide(&consent, "allow").await.status, 303);
    for decision in ["allow", "cancel", "switch"] {
        let again = ada.decide(&consent, decision).await;
        assert_eq!(again.status, 400);
        assert!(again.html.contains("This request is over") && again.location().is_none());
    }
    cloud.clock.advance(10 * 60_000);
    let late = ada.log_in(&login, ADA).await;
    assert_eq!(late.status, 400);
    assert!(late.html.contains("This request is over"));
}

#[tokio::test]
async fn a_request_belongs_to_the_browser_that_began_it() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let (mut ada, mut eve) = (Visitor::new(&cloud), Visitor::new(&cloud));
    let page = ada.consent_page(&[("client_id", &id)]).await;
    eve.consent_page(&[("client_id", &id)]).await;
    assert_eq!(eve.get(page.url.as_str()).await.status, 400);
    assert_eq!(eve.decide(&page, "allow").await.status, 400);
    eve.cookie = None;
    assert_eq!(eve.decide(&page, "allow").await.status, 400);
    assert_eq!(ada.decide(&page, "allow").await.status, 303);
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let page = ada.consent_page(&[("client_id", &id)]).await;
    let action = page.url.join("consent").unwrap();
    let request = page.input("request").unwrap();
    let csrf = page.input("csrf").unwrap();
    let forged = [("request", request), ("csrf", &csrf.replace(&csrf[..4], "AAAA")), ("decision", "allow")];
    assert_eq!(ada.post(action.as_str(), &forged).await.status, 403);
    assert_eq!(ada.post(action.as_str(), &[forged[0], forged[2]]).await.status, 403);
    let form = [forged[0], ("csrf", csrf), forged[2]];
    for headers in [[("origin", "http://evil.example")], [("origin", "null")], [("sec-fetch-site", "cross-site")]] {
        assert_eq!(ada.post_with(action.as_str(), &form, &headers).await.status, 403, "{headers:?}");
    }
    let own = [("origin", cloud.running.base_url())];
    let own: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(ada.post_with(action.as_str(), &form, &own).await.status, 303);
}

#[tokio::test]
async fn the_pages_hold_no_script_and_cannot_be_framed_kept_or_followed_by_a_referrer() {
    let cloud = Cloud::with_people().await;
    let (id, _) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let login = ada.begin(&[("client_id", &id)]).await;
    let wrong = ada.log_in(&login, (ADA.0, "wrong password")).await;
    let consent = ada.consent_page(&[("client_id", &id)]).await;
    let error = ada.begin(&[("client_id", "nobody")]).await;
    let sign_out = ada.get(&cloud.at("/connect/endsession")).await;
    for page in [&login, &wrong, &consent, &error, &sign_out] {
        let policy = page.header("content-security-policy");
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("script-src") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("referrer-policy"), "same-origin");
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        let handler = |attribute: &str| attribute.starts_with("on") && attribute.contains('=');
        assert!(!page.html.contains("<script") && !page.html.split_whitespace().any(handler), "{}", page.html);
        assert_accessible(page);
    }
    // Chromium applies the policy to the redirect that answers the form too.
    assert!(consent.header("content-security-policy").contains("form-action 'self' http://localhost:5173;"));
    let redirect = ada.decide(&consent, "allow").await;
    assert_eq!((redirect.header("cache-control"), redirect.header("referrer-policy")), ("no-store", "same-origin"));
}

/// What can be seen of it in the text: language, title, one heading, a label for each field, text on each button.
fn assert_accessible(page: &Page) {
    let html = &page.html;
    assert!(html.contains("<html lang=\"en\">") && html.contains("<main") && html.contains("<title>"), "{html}");
    assert_eq!(html.matches("<h1").count(), 1, "{html}");
    for input in html.split("<input ").skip(1).filter(|input| !input.starts_with("type=\"hidden\"")) {
        let id = input.split("id=\"").nth(1).unwrap().split('"').next().unwrap();
        assert!(html.contains(&format!("<label for=\"{id}\">")), "{html}");
    }
    assert!(html.contains("It is not UiPath"), "{html}");
}

#[tokio::test]
async fn a_name_with_markup_in_it_is_shown_as_text() {
    let cloud = Cloud::with_people().await;
    let name = "<img src=x onerror=alert(1)>\"'{{ 7*7 }}";
    let (id, _) = cloud.created(name, &json!([{ "name": "OR.Jobs", "type": 0 }])).await;
    let page = Visitor::new(&cloud).begin(&[("client_id", &id), ("login_hint", "\"><b>")]).await;
    assert!(!page.html.contains("<img") && !page.html.contains("\"><b>"), "{}", page.html);
    assert!(page.html.contains("&lt;img") && page.html.contains("{{ 7*7 }}"), "{}", page.html);
}

#[tokio::test]
async fn whoever_signs_out_must_sign_in_again_and_leaves_no_code_behind() {
    let cloud = Cloud::with_people().await;
    let (id, secret) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let code = ada.code(&[("client_id", &id)]).await;
    let page = ada.get(&cloud.at("/connect/endsession")).await;
    assert!(page.html.contains("Ada Lovelace"));
    let url = cloud.at("/connect/endsession");
    assert_eq!(ada.post(&url, &[("csrf", "guess")]).await.status, 403);
    assert!(ada.post(&url, &[("id_token_hint", "x")]).await.html.contains("Sign out?"));
    let page = ada.post(&url, &page.hidden()).await;
    assert!(page.html.contains("You are signed out"), "{}", page.html);
    assert_eq!(ada.begin(&[("client_id", &id)]).await.url.path(), "/identity_/web/login");
    assert_eq!(cloud.redeem((&id, &secret), &code, &[]).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn nobody_is_sent_on_after_signing_out() {
    let cloud = Cloud::with_people().await;
    let url = cloud.at("/connect/endsession?post_logout_redirect_uri=https%3A%2F%2Fevil.example%2F&state=s");
    let page = Visitor::new(&cloud).get(&url).await;
    assert_eq!((page.status, page.location()), (200, None));
    assert!(!page.html.contains("evil"));
}

#[tokio::test]
async fn people_last_over_a_restart_and_a_new_password_ends_what_the_old_one_began() {
    let on_file = |directory: &tempfile::TempDir| directory.path().join("cloud.db");
    let directory = tempfile::tempdir().unwrap();
    let data = on_file(&directory);
    let start = |config: &mut Config| config.data = Some(data.clone());
    let cloud = Cloud::start_in(directory, |config| {
        start(config);
        config.people = people();
    })
    .await;
    let client = cloud.web_application().await;
    let tokens = cloud.tokens(&client, "OR.Jobs offline_access").await;
    let refresh = tokens["refresh_token"].as_str().unwrap().to_owned();

    let cloud = Cloud::start_in(cloud.stop().await, |config| {
        start(config);
        config.people = people();
        config.people[0].name = "Ada King".to_owned();
    })
    .await;
    let page = Visitor::new(&cloud).consent_page(&[("client_id", &client.0)]).await;
    assert!(page.html.contains("Ada King"));
    let (status, tokens) = cloud.refresh((&client.0, &client.1), &refresh, &[]).await;
    assert_eq!(status, 200, "the same password ends nothing: {tokens}");
    let refresh = tokens["refresh_token"].as_str().unwrap().to_owned();

    let cloud = Cloud::start_in(cloud.stop().await, |config| {
        start(config);
        config.people = people();
        config.people[0].password = "analytical engine".into();
    })
    .await;
    assert_eq!(cloud.refresh((&client.0, &client.1), &refresh, &[]).await.1["error"], "invalid_grant");
    let mut ada = Visitor::new(&cloud);
    let page = ada.begin(&[("client_id", &client.0)]).await;
    assert_eq!(ada.log_in(&page, ADA).await.status, 422);
    assert_eq!(ada.log_in(&page, (ADA.0, "analytical engine")).await.status, 303);
}

#[tokio::test]
async fn the_program_takes_people_from_a_file() {
    let yaml =
        "- email: ada@acme.example\n  name: Ada Lovelace\n  password: difference engine\n  administrator: true\n";
    let builder = LocalCloud::builder(Program::new(env!("CARGO_BIN_EXE_extapp")));
    let cloud = builder.in_memory().people(yaml).start().await.unwrap();
    let application = json!({
        "partitionGlobalId": cloud.organization_id().await.unwrap(),
        "name": "Time sheets",
        "isConfidential": true,
        "redirectUri": CALLBACK,
        "scopes": [{ "name": "OR.Jobs", "type": 0 }],
    });
    let made = cloud.administer(Method::POST, "ExternalClient", Some(application)).await.unwrap();
    let location = Visitor::at(cloud.base_url()).allow(&[("client_id", made["id"].as_str().unwrap())]).await;
    assert!(query(&location).contains_key("code"), "{location}");
    assert!(!cloud.logs().contains("difference"));
}

#[tokio::test]
async fn no_password_code_token_or_cookie_stands_in_the_data_file_or_in_the_access_log() {
    let directory = tempfile::tempdir().unwrap();
    let (log, data) = (directory.path().join("access.log"), directory.path().join("cloud.db"));
    let cloud = Cloud::start_in(directory, |config| {
        config.people = people();
        config.access_log = Some(log.clone());
        config.data = Some(data);
    })
    .await;
    let (id, secret) = cloud.web_application().await;
    let mut ada = Visitor::new(&cloud);
    let page = ada.consent_page(&[("client_id", &id), ("scope", "OR.Jobs offline_access")]).await;
    let request = page.input("request").unwrap().to_owned();
    let code = query(&ada.decide(&page, "allow").await.location().unwrap())["code"].clone();
    let unredeemed = ada.code(&[("client_id", &id)]).await;
    let (_, tokens) = cloud.redeem((&id, &secret), &code, &[]).await;
    let cookie = ada.cookie.as_deref().unwrap().split_once('=').unwrap().1.to_owned();
    let of = |name: &str| tokens[name].as_str().unwrap().to_owned();
    let hidden = [ADA.1.to_owned(), code, unredeemed, request, cookie, of("access_token"), of("refresh_token"), secret];
    let directory = cloud.stop().await;
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("admin.yaml") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for value in &hidden {
            let found = bytes.windows(value.len()).any(|window| window == value.as_bytes());
            assert!(!found, "{} holds {value}", path.display());
        }
    }
    assert!(std::fs::read_to_string(log).unwrap().contains("\"path\":\"/identity_/web/consent\""));
}
