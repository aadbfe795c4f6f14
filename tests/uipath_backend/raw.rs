//! A server that misbehaves below HTTP: it can drop a connection, cut an answer short, stay silent or never stop.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What becomes of a request to the management API.
#[derive(Clone)]
pub enum Fate {
    /// The connection is closed without a word.
    Dropped,
    /// The status and half of the body come, then nothing.
    Cut,
    /// Nothing ever comes.
    Silent,
    /// A body without an end.
    Endless,
    Answered(u16, &'static str),
}

pub struct RawCloud {
    pub url: url::Url,
    state: Arc<State>,
    listening: JoinHandle<()>,
}

struct State {
    url: String,
    fates: Mutex<VecDeque<Fate>>,
    lines: Mutex<Vec<String>>,
    sent: AtomicUsize,
}

impl RawCloud {
    /// Requests to the management API meet these fates in turn; the token endpoint always works.
    pub async fn start(fates: impl IntoIterator<Item = Fate>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(State {
            url: url.clone(),
            fates: Mutex::new(fates.into_iter().collect()),
            lines: Mutex::default(),
            sent: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { url: url.parse().expect("a url"), state, listening }
    }

    /// Method and path of every request to the management API.
    pub fn requests(&self) -> Vec<String> {
        self.state.lines.lock().expect("not poisoned").clone()
    }

    /// How many bytes of an endless body were taken.
    pub fn sent(&self) -> usize {
        self.state.sent.load(Ordering::SeqCst)
    }

    /// Nobody listens any more.
    pub async fn stop(&mut self) {
        self.listening.abort();
        let _ = (&mut self.listening).await;
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let Some(line) = request_line(&mut stream).await else { return };
    if line.contains("openid-configuration") {
        let url = &state.url;
        let body = format!(r#"{{"issuer":"{url}/identity_","token_endpoint":"{url}/identity_/connect/token"}}"#);
        return answer(&mut stream, 200, &body, body.len()).await;
    }
    if line.contains("/connect/token") {
        let body = super::token_body(3600).to_string();
        return answer(&mut stream, 200, &body, body.len()).await;
    }
    state.lines.lock().expect("not poisoned").push(line);
    let fate = state.fates.lock().expect("not poisoned").pop_front();
    match fate.unwrap_or(Fate::Answered(500, "")) {
        Fate::Dropped => {}
        Fate::Cut => answer(&mut stream, 201, r#"{"id":"5a0c"#, 500).await,
        Fate::Silent => std::future::pending().await,
        Fate::Endless => endless(&mut stream, &state).await,
        Fate::Answered(status, body) => answer(&mut stream, status, body, body.len()).await,
    }
}

/// Reads a whole request, so that closing the connection afterwards loses the answer and not the request.
async fn request_line(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                let mut words = head.split(' ');
                return Some(format!("{} {}", words.next()?, words.next()?));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn answer(stream: &mut TcpStream, status: u16, body: &str, length: usize) {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    let _ = stream.write_all((head + body).as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn endless(stream: &mut TcpStream, state: &State) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n[";
    let _ = stream.write_all(head.as_bytes()).await;
    let spaces = vec![b' '; 64 << 10];
    while stream.write_all(&spaces).await.is_ok() {
        state.sent.fetch_add(spaces.len(), Ordering::SeqCst);
    }
}
