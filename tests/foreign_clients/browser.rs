//! Chromium at the log-in and consent pages, as people see and use them.

use serde_json::{Value, json};

use super::expiry::Site;
use super::stage::{self, Stage};
use crate::support::assets::target_directory;
use crate::support::{Result, peers};

/// Where pictures of the pages go, for whoever wants to look at them.
const PICTURES: &str = "screenshots";

pub async fn run(case: &'static str) -> Result<Value> {
    run_with(case, Stage::shared().await?.input()).await
}

/// One browser at a time: each has a dozen processes, and several of them starve each other and everything else.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn run_with(case: &'static str, mut input: Value) -> Result<Value> {
    let _alone = ALONE.lock().await;
    let pictures = target_directory().join(PICTURES);
    std::fs::create_dir_all(&pictures)?;
    input["chromium"] = json!(peers::chromium()?);
    input["pictures"] = json!(pictures);
    stage::node("browser.mjs", case, input).await
}

/// How the portal is called back, and by whom.
fn called_back(answer: &Value, more: &Value) {
    let issuer = &answer["answer"]["iss"];
    assert!(issuer.as_str().is_some_and(|issuer| issuer.ends_with("/identity_")), "{answer}");
    let mut expected = json!({"at": "https://portal.example.com/callback", "state": "a state", "iss": issuer});
    for (name, value) in more.as_object().into_iter().flatten() {
        expected[name] = value.clone();
    }
    assert_eq!(answer["answer"], expected, "{answer}");
}

fn went_through_both_pages(answer: &Value) {
    assert_eq!(answer["titles"], json!(["Sign in – extapp local-cloud", "Allow access – extapp local-cloud"]));
    assert_eq!(answer["signedIn"], "You are signed in as Ada Lovelace (ada@acme.example).");
    let scopes = answer["scopes"].to_string();
    assert!(scopes.contains("Read jobs (OR.Jobs.Read)") && scopes.contains("See your name (profile)"), "{scopes}");
    called_back(answer, &json!({"code": "a code"}));
    assert_eq!(answer["complaints"], json!([]), "{answer}");
}

#[tokio::test]
async fn a_person_signs_in_allows_and_comes_back_to_the_application() -> Result<()> {
    went_through_both_pages(&run("allow").await?);
    Ok(())
}

#[tokio::test]
async fn the_pages_need_no_script() -> Result<()> {
    went_through_both_pages(&run("without_script").await?);
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_said_and_can_be_mended() -> Result<()> {
    let answer = run("wrong_password").await?;
    let said = "The e-mail address or the password is not right.";
    assert!(answer["alert"].to_string().contains(said), "{answer}");
    assert_eq!(answer["focused"], true, "a screen reader reads it at once: {answer}");
    assert_eq!(answer["title"], "Error: Sign in – extapp local-cloud", "{answer}");
    assert_eq!(answer["email"], "ada@acme.example", "{answer}");
    assert_eq!(answer["password"], "", "{answer}");
    assert_eq!(answer["invalid"], "true", "{answer}");
    assert_eq!(answer["described"], said, "{answer}");
    assert_eq!(answer["linked"], true, "{answer}");
    called_back(&answer, &json!({"code": "a code"}));
    Ok(())
}

#[tokio::test]
async fn a_person_who_cancels_comes_back_without_a_code() -> Result<()> {
    let denied = json!({"error": "access_denied", "error_description": "The person did not allow it"});
    called_back(&run("denied").await?, &denied);
    Ok(())
}

#[tokio::test]
async fn a_request_that_waited_too_long_is_over_on_both_pages() -> Result<()> {
    let site = Site::start().await?;
    let answer = run_with("expired", site.input().await?).await?;
    for page in ["login", "consent"] {
        assert_eq!(answer[page]["heading"], "This request is over", "{page}: {answer}");
        assert_eq!(answer[page]["at"], format!("/identity_/web/{page}"), "{page}: {answer}");
        assert_eq!(answer[page]["forms"], 0, "{page}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn nobody_is_sent_to_an_address_that_is_not_registered() -> Result<()> {
    let answer = run("tampered").await?;
    assert_eq!(answer["headings"], json!(vec!["Invalid redirect_uri"; 4]), "{answer}");
    assert_eq!(answer["landed"], "/identity_/web/", "{answer}");
    assert_eq!(answer["left"], json!(["portal.example.com"]), "{answer}");
    called_back(&answer, &json!({"code": "a code"}));
    Ok(())
}

#[tokio::test]
async fn other_sites_can_neither_frame_the_pages_nor_press_their_buttons() -> Result<()> {
    let answer = run("foreign_pages").await?;
    assert!(answer["framed"].to_string().contains("refused to connect"), "{answer}");
    assert!(answer["complaints"].to_string().contains("frame-ancestors"), "{answer}");
    assert_eq!(answer["posted"], "This request is over", "the cookie does not go along: {answer}");
    Ok(())
}

#[tokio::test]
async fn the_keyboard_alone_is_enough_and_the_focus_can_be_seen() -> Result<()> {
    let answer = run("keyboard").await?;
    assert_eq!(answer["first"], 1, "the first field has the focus: {answer}");
    assert_eq!(answer["order"], json!(["#allow", "#cancel", "#switch"]), "{answer}");
    assert_eq!(answer["visible"], json!(vec![true; 6]), "{answer}");
    called_back(&answer, &json!({"code": "a code"}));
    Ok(())
}

#[tokio::test]
async fn whoever_is_signed_in_is_asked_but_not_for_the_password() -> Result<()> {
    let answer = run("second_time").await?;
    assert_eq!(answer["known"], "You are signed in as Ada Lovelace (ada@acme.example).", "{answer}");
    assert_eq!(answer["question"], "Allow desktop to act for you?", "{answer}");
    assert_eq!(answer["other"], "You are signed in as Grace Hopper (grace@acme.example).", "{answer}");
    assert_eq!(answer["second"]["at"], "http://127.0.0.1:8765/callback", "{answer}");
    assert_eq!(answer["second"]["code"], "a code", "{answer}");
    assert_eq!(answer["again"], 1, "prompt=login asks again: {answer}");
    Ok(())
}

#[tokio::test]
async fn the_pages_are_accessible_and_fit_on_wide_and_narrow_screens() -> Result<()> {
    let answer = run("looks").await?;
    let looks = answer.as_object().cloned().unwrap_or_default();
    assert_eq!(looks.len(), 12, "six pages on two screens: {answer}");
    for (page, faults) in looks {
        assert_eq!(faults, json!([]), "{page}");
    }
    Ok(())
}
