//! A small client of the Chrome DevTools Protocol: one websocket, commands matched to their answers
//! by id, events handed to the page whose session they belong to. What pages and browsers can do
//! lives beside it in `browser.rs` and `page.rs`.

mod browser;
mod page;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;

pub(crate) use browser::{Browser, Cookie, Visitor};
pub(crate) use page::{Page, Script};

/// A command that takes longer has hung: the slowest (a screenshot on a loaded machine) takes two seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The connection to one browser.
struct Wire {
    next: AtomicU64,
    outgoing: mpsc::UnboundedSender<Message>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    sessions: Mutex<HashMap<String, mpsc::UnboundedSender<Value>>>,
}

impl Wire {
    async fn connect(address: &str) -> Arc<Self> {
        let (socket, _) = tokio_tungstenite::connect_async(address).await.expect("the browser's port is open");
        let (mut write, mut read) = socket.split();
        let (outgoing, mut queue) = mpsc::unbounded_channel::<Message>();
        let wire = Arc::new(Self { next: AtomicU64::new(1), outgoing, waiting: Mutex::default(), sessions: Mutex::default() });
        tokio::spawn(async move {
            while let Some(message) = queue.recv().await {
                if write.send(message).await.is_err() {
                    break;
                }
            }
        });
        let reader = Arc::downgrade(&wire);
        tokio::spawn(async move {
            while let Some(Ok(message)) = read.next().await {
                let (Message::Text(text), Some(wire)) = (message, reader.upgrade()) else { continue };
                wire.receive(serde_json::from_str(&text).expect("the browser speaks JSON"));
            }
        });
        wire
    }

    fn receive(&self, message: Value) {
        if let Some(id) = message["id"].as_u64() {
            if let Some(answer) = self.waiting.lock().expect("no holder panics").remove(&id) {
                let _ = answer.send(message); // The caller may have given up.
            }
        } else if let Some(session) = message["sessionId"].as_str()
            && let Some(page) = self.sessions.lock().expect("no holder panics").get(session)
        {
            let _ = page.send(message); // The page may be closed.
        }
    }

    /// Sends a command, to the browser itself or to a page's session, and waits for its answer.
    async fn call(&self, session: Option<&str>, method: &str, params: Value) -> Result<Value, String> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut command = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            command["sessionId"] = json!(session);
        }
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().expect("no holder panics").insert(id, sender);
        self.outgoing.send(Message::text(command.to_string())).map_err(|_| format!("{method}: the browser is gone"))?;
        let mut answer = tokio::time::timeout(ANSWER_TIMEOUT, answer)
            .await
            .map_err(|_| format!("{method}: no answer in {ANSWER_TIMEOUT:?}"))?
            .map_err(|_| format!("{method}: the browser is gone"))?;
        match answer.get("error") {
            Some(error) => Err(format!("{method}: {error}")),
            None => Ok(answer["result"].take()),
        }
    }

    /// The same where a failure means that the harness itself is broken.
    async fn must(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.call(session, method, params).await.unwrap_or_else(|fault| panic!("{fault}"))
    }
}
