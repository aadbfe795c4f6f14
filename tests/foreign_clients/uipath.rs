//! UiPath's own SDKs, for Python and for TypeScript: they get their tokens with what was published, and see of the tenant
//! what the roles let them see.

use serde_json::{Value, json};

use super::browser;
use super::stage::{self, Stage};
use crate::support::{Result, peers};

const HIDDEN: &str = "Folder does not exist or the user does not have access to the folder.";

async fn python(case: &'static str) -> Result<Value> {
    let python = || peers::python(&stage::scripts().join("uipath-requirements.txt"));
    stage::run(python, "uipath_sdk.py", case, Stage::shared().await?.input()).await
}

/// One folder is there, with its queue; to the other the answer is that of a folder that does not exist.
fn sees_the_permitted_folder_alone(answer: &Value) {
    assert_eq!(answer["folders"], json!(["Shared/Finance"]), "{answer}");
    assert_eq!(answer["queues"]["Shared/Finance"], json!(["Invoices"]), "{answer}");
    assert_eq!(answer["queues"]["Shared/People"]["status"], 404, "{answer}");
    assert!(answer["queues"]["Shared/People"]["body"].to_string().contains(HIDDEN), "{answer}");
}

/// The SDK asks for tokens at Automation Cloud and nowhere else, whatever base URL it is given. It heeds proxies and
/// certificates, so a proxy leads from that address to the stand-in.
#[tokio::test]
async fn the_python_sdk_takes_the_published_credentials() -> Result<()> {
    let answer = python("by_credentials").await?;
    sees_the_permitted_folder_alone(&answer);
    assert_eq!(answer["asked"], json!(["cloud.uipath.com:443", "cloud.uipath.com:443"]), "{answer}");
    assert_eq!(answer["wrong"]["status"], 400, "{answer}");
    assert!(answer["wrong"]["body"].to_string().contains("invalid_client"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn the_python_sdk_gets_its_token_from_an_identity_server_that_it_is_told() -> Result<()> {
    sees_the_permitted_folder_alone(&python("by_identity_service").await?);
    Ok(())
}

#[tokio::test]
async fn the_python_sdk_renews_the_tokens_of_a_person_and_sees_what_that_person_may_see() -> Result<()> {
    let answer = python("by_refresh").await?;
    sees_the_permitted_folder_alone(&answer);
    assert_eq!(answer["rotated"], true, "{answer}");
    assert_eq!(answer["scope"], "OR.Folders.Read OR.Queues.Read offline_access", "{answer}");
    Ok(())
}

#[tokio::test]
async fn the_typescript_sdk_reads_the_queues_of_the_permitted_folder_alone() -> Result<()> {
    let answer = stage::node("uipath_sdk.mjs", "by_token", Stage::shared().await?.input()).await?;
    assert_eq!(answer["Shared/Finance"], json!({"names": ["Invoices"], "one": "Invoices"}), "{answer}");
    assert_eq!(answer["Shared/People"]["status"], 404, "{answer}");
    assert_eq!(answer["Shared/People"]["message"], HIDDEN, "{answer}");
    Ok(())
}

/// Its own way to sign people in works in browsers only: authorization code with PKCE, from a page of another origin.
#[tokio::test]
async fn the_typescript_sdk_signs_a_person_in_from_a_page_and_renews_its_token() -> Result<()> {
    let answer = browser::run("uipath_sdk").await?;
    assert_eq!(answer["authenticated"], true, "{answer}");
    for reading in ["first", "second"] {
        assert_eq!(answer[reading]["Shared/Finance"], json!(["Invoices"]), "{reading}: {answer}");
        assert_eq!(answer[reading]["Shared/People"], HIDDEN, "{reading}: {answer}");
    }
    assert_eq!(answer["renewed"], true, "{answer}");
    Ok(())
}
