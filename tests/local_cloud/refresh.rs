//! Refresh tokens.

use reqwest::Method;
use serde_json::{Value, json};

use super::person::{CALLBACK, CHALLENGE, VERIFIER, Visitor, claims};
use super::{Cloud, text};

const DAY: i64 = 24 * 3_600_000;

fn refused(error: &str) -> (u16, Value) {
    (400, json!({ "error": error }))
}

#[tokio::test]
async fn a_refresh_token_comes_with_offline_access_only() {
    let cloud = Cloud::with_people().await;
    let client = cloud.web_application().await;
    assert_eq!(cloud.tokens(&client, "OR.Jobs openid").await["refresh_token"], Value::Null);
    assert!(cloud.tokens(&client, "OR.Jobs offline_access").await["refresh_token"].is_string());
}

#[tokio::test]
async fn each_use_gives_a_new_token_and_a_second_use_revokes_the_family() {
    let cloud = Cloud::with_people().await;
    let client = cloud.web_application().await;
    let auth = (client.0.as_str(), client.1.as_str());
    let first = cloud.tokens(&client, "openid OR.Jobs offline_access").await;
    let (status, second) = cloud.refresh(auth, &text(&first, "refresh_token"), &[]).await;
    assert_eq!(status, 200, "{second}");
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!(second["scope"], "openid OR.Jobs offline_access");
    let before = claims(&text(&first, "access_token"));
    let after = claims(&text(&second, "access_token"));
    assert_eq!(
        (&before["sub"], &before["sid"], &before["auth_time"]),
        (&after["sub"], &after["sid"], &after["auth_time"])
    );
    assert_ne!(before["jti"], after["jti"]);
    let (status, third) = cloud.refresh(auth, &text(&second, "refresh_token"), &[]).await;
    assert_eq!(status, 200);

    assert_eq!(cloud.refresh(auth, &text(&first, "refresh_token"), &[]).await, refused("invalid_grant"));
    assert_eq!(cloud.refresh(auth, &text(&third, "refresh_token"), &[]).await, refused("invalid_grant"));
    assert_eq!(cloud.userinfo(&text(&third, "access_token")).await.0, 401);
    let another = cloud.tokens(&client, "OR.Jobs offline_access").await;
    assert_eq!(cloud.refresh(auth, &text(&another, "refresh_token"), &[]).await.0, 200, "other families live on");
}

#[tokio::test]
async fn of_two_uses_at_the_same_time_one_succeeds_and_the_family_is_gone() {
    let cloud = Cloud::with_people().await;
    let client = cloud.web_application().await;
    let auth = (client.0.as_str(), client.1.as_str());
    let token = text(&cloud.tokens(&client, "OR.Jobs offline_access").await, "refresh_token");
    let answers = futures::future::join_all((0..8).map(|_| cloud.refresh(auth, &token, &[]))).await;
    let won: Vec<_> = answers.iter().filter(|(status, _)| *status == 200).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(cloud.refresh(auth, &text(&won[0].1, "refresh_token"), &[]).await, refused("invalid_grant"));
}

#[tokio::test]
async fn a_refresh_token_lasts_sixty_days() {
    let cloud = Cloud::with_people().await;
    let client = cloud.web_application().await;
    let auth = (client.0.as_str(), client.1.as_str());
    let first = text(&cloud.tokens(&client, "OR.Jobs offline_access").await, "refresh_token");
    cloud.clock.advance(60 * DAY - 1);
    let (status, second) = cloud.refresh(auth, &first, &[]).await;
    assert_eq!(status, 200);
    cloud.clock.advance(60 * DAY);
    assert_eq!(cloud.refresh(auth, &text(&second, "refresh_token"), &[]).await, refused("invalid_grant"));
}

#[tokio::test]
async fn the_scope_may_be_narrowed_for_one_access_token_and_never_widened() {
    let cloud = Cloud::with_people().await;
    let client = cloud.web_application().await;
    let auth = (client.0.as_str(), client.1.as_str());
    let first = cloud.tokens(&client, "OR.Jobs openid offline_access").await;
    let token = text(&first, "refresh_token");
    for wider in ["OR.Jobs OR.Assets.Read", "OR.Jobs profile", "OR.Nope", "OR.Queues"] {
        assert_eq!(cloud.refresh(auth, &token, &[("scope", wider)]).await, refused("invalid_scope"), "{wider}");
    }
    let (status, narrow) = cloud.refresh(auth, &token, &[("scope", "OR.Jobs")]).await;
    assert_eq!((status, &narrow["scope"]), (200, &json!("OR.Jobs")), "a refused wish uses nothing up");
    assert_eq!(claims(&text(&narrow, "access_token"))["scope"], json!(["OR.Jobs"]));
    assert_eq!(narrow["id_token"], Value::Null);
    let (_, whole) = cloud.refresh(auth, &text(&narrow, "refresh_token"), &[]).await;
    assert_eq!(whole["scope"], "OR.Jobs openid offline_access");
}

#[tokio::test]
async fn a_refresh_token_is_bound_to_its_client() {
    let cloud = Cloud::with_people().await;
    let (client, other) = (cloud.web_application().await, cloud.web_application().await);
    let native = cloud.native_application(CALLBACK).await;
    let token = text(&cloud.tokens(&client, "OR.Jobs offline_access").await, "refresh_token");
    assert_eq!(cloud.refresh((&other.0, &other.1), &token, &[]).await, refused("invalid_grant"));
    assert_eq!(cloud.refresh((&native, ""), &token, &[]).await, refused("invalid_grant"));
    assert_eq!(cloud.refresh((&client.0, ""), &token, &[]).await, refused("invalid_client"));
    assert_eq!(cloud.refresh((&client.0, &client.1), &token, &[]).await.0, 200);
}

#[tokio::test]
async fn a_non_confidential_application_refreshes_without_a_secret_and_with_rotation() {
    let cloud = Cloud::with_people().await;
    let id = cloud.native_application(CALLBACK).await;
    let parameters = [
        ("client_id", id.as_str()),
        ("scope", "OR.Jobs offline_access"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let code = Visitor::new(&cloud).code(&parameters).await;
    let (_, first) = cloud.redeem((&id, ""), &code, &[("code_verifier", VERIFIER)]).await;
    let token = text(&first, "refresh_token");
    let (status, second) = cloud.refresh((&id, ""), &token, &[]).await;
    assert_eq!(status, 200, "{second}");
    assert_eq!(cloud.refresh((&id, ""), &token, &[]).await, refused("invalid_grant"));
    assert_eq!(cloud.refresh((&id, ""), &text(&second, "refresh_token"), &[]).await, refused("invalid_grant"));
}

#[tokio::test]
async fn what_the_registration_has_lost_is_not_refreshed() {
    let cloud = Cloud::with_people().await;
    let client = cloud.web_application().await;
    let auth = (client.0.as_str(), client.1.as_str());
    let first = cloud.tokens(&client, "OR.Jobs OR.Assets.Read offline_access").await;
    let narrower = cloud.application("app", &json!([{ "name": "OR.Assets.Read", "type": 0 }]));
    cloud.manage(Method::PUT, &cloud.path_of(&client.0), Some(&narrower)).await;
    let (_, second) = cloud.refresh(auth, &text(&first, "refresh_token"), &[]).await;
    assert_eq!(second["scope"], "OR.Assets.Read offline_access");
    let token = text(&second, "refresh_token");
    assert_eq!(cloud.refresh(auth, &token, &[("scope", "OR.Jobs")]).await, refused("invalid_scope"));
    assert_eq!(cloud.refresh(auth, &token, &[]).await.0, 200);
}

#[tokio::test]
async fn nothing_is_refreshed_for_an_application_that_is_gone() {
    let cloud = Cloud::with_people().await;
    let client = cloud.web_application().await;
    let tokens = cloud.tokens(&client, "OR.Jobs offline_access").await;
    assert_eq!(cloud.manage(Method::DELETE, &cloud.path_of(&client.0), None).await.0, 204);
    let refusal = cloud.refresh((&client.0, &client.1), &text(&tokens, "refresh_token"), &[]).await;
    assert_eq!(refusal, refused("invalid_client"));
}

#[tokio::test]
async fn refresh_tokens_last_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("cloud.db");
    let cloud = Cloud::start_in(directory, |config| {
        config.data = Some(data.clone());
        config.people = super::person::people();
    })
    .await;
    let client = cloud.web_application().await;
    let token = text(&cloud.tokens(&client, "OR.Jobs offline_access").await, "refresh_token");
    let cloud = Cloud::start_in(cloud.stop().await, |config| config.data = Some(data)).await;
    assert_eq!(cloud.refresh((&client.0, &client.1), &token, &[]).await.0, 200);
}
