//! One tab: going somewhere, looking, clicking, and what the page complained about.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::Engine;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Wire, browser::text};

/// Local pages load in a fraction of a second; past this something hangs.
const LOAD_TIMEOUT: Duration = Duration::from_secs(15);

/// How often a question is put again because the tab was between two documents.
const ASKED_AGAIN_MAX: usize = 20;

/// Whether scripts run in a tab.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// As usual.
    On,
    /// Switched off by the visitor.
    Off,
}

/// A tab of a visitor.
pub(crate) struct Page {
    wire: Arc<Wire>,
    session: String,
    seen: Arc<Mutex<Seen>>,
}

/// What the browser told about a tab so far.
struct Seen {
    main_frame: String,
    loads: Vec<String>,
    in_flight: HashSet<String>,
    last: Instant,
    complaints: Vec<String>,
    sent: Vec<String>,
    status: Option<u64>,
}

impl Page {
    pub(super) async fn attach(wire: Arc<Wire>, session: String, target: String, script: Script) -> Self {
        let (sender, mut events) = mpsc::unbounded_channel();
        wire.sessions.lock().expect("no holder panics").insert(session.clone(), sender);
        let seen = Arc::new(Mutex::new(Seen {
            // A page target's main frame has the target's id.
            main_frame: target,
            loads: Vec::new(),
            in_flight: HashSet::new(),
            last: Instant::now(),
            complaints: Vec::new(),
            sent: Vec::new(),
            status: None,
        }));
        let page = Self { wire, session, seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                seen.lock().expect("no holder panics").note(&event);
            }
        });
        for domain in ["Page", "Runtime", "Network", "Log"] {
            page.call(&format!("{domain}.enable"), json!({})).await;
        }
        page.call("Page.setLifecycleEventsEnabled", json!({ "enabled": true })).await;
        if script == Script::Off {
            page.call("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
        }
        page
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        self.wire.must(Some(&self.session), method, params).await
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder panics")
    }

    /// Goes to an address and waits until it is loaded. An error says what the browser would show.
    pub(crate) async fn go(&self, address: &str) -> Result<(), String> {
        let answer = self.wire.call(Some(&self.session), "Page.navigate", json!({ "url": address })).await?;
        if let Some(fault) = answer["errorText"].as_str().filter(|fault| !fault.is_empty()) {
            return Err(format!("{address}: {fault}"));
        }
        let loader = text(&answer, "loaderId");
        self.until(address, |seen| seen.loads.contains(&loader)).await
    }

    /// Loads the page again, as the button does: conditional requests for what is cached.
    pub(crate) async fn reload(&self) -> Result<(), String> {
        let before = self.loads();
        self.call("Page.reload", json!({})).await;
        self.loaded_after(before).await
    }

    /// How many documents were loaded in this tab so far.
    pub(crate) fn loads(&self) -> usize {
        self.seen().loads.len()
    }

    /// Waits until a document was loaded that was not when `before` was read.
    pub(crate) async fn loaded_after(&self, before: usize) -> Result<(), String> {
        self.until("a navigation", |seen| seen.loads.len() > before).await
    }

    async fn until(&self, what: &str, done: impl Fn(&Seen) -> bool) -> Result<(), String> {
        let start = Instant::now();
        while !done(&self.seen()) {
            if start.elapsed() > LOAD_TIMEOUT {
                return Err(format!("{what}: not loaded in {LOAD_TIMEOUT:?}"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Whether nothing is under way and nothing has happened for a while.
    pub(crate) fn is_quiet(&self, quiet: Duration) -> bool {
        let seen = self.seen();
        seen.last.elapsed() >= quiet && (seen.in_flight.is_empty() || seen.last.elapsed() >= 10 * quiet)
    }

    /// The HTTP status of the newest document.
    pub(crate) fn status(&self) -> Option<u64> {
        self.seen().status
    }

    /// Errors and exceptions in the console since this was last asked.
    pub(crate) fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut self.seen().complaints)
    }

    /// The addresses that the tab asked for since this was last asked, in the order in which the page did.
    pub(crate) fn sent(&self) -> Vec<String> {
        std::mem::take(&mut self.seen().sent)
    }

    /// The value of an expression in the page. It works with scripts off as well.
    pub(crate) async fn eval(&self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true });
        for _ in 0..ASKED_AGAIN_MAX {
            match self.wire.call(Some(&self.session), "Runtime.evaluate", params.clone()).await {
                Ok(mut answer) => {
                    assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
                    return answer["result"]["value"].take();
                }
                // The tab went to another document meanwhile: the question is for that one.
                Err(fault) if fault.contains("navigated") || fault.contains("context") => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(fault) => panic!("{fault}"),
            }
        }
        panic!("{expression}: the tab goes from one document to the next");
    }

    /// Clicks the middle of the first element that matches, as a hand would. An error says why it could not
    /// be hit: it is not there, has no size, or something lies over it.
    pub(crate) async fn click(&self, selector: &str) -> Result<(), String> {
        let probe = r#"(selector => {
            const element = document.querySelector(selector);
            if (!element) return { fault: "is not there" };
            element.scrollIntoView({ block: "center", behavior: "instant" });
            const box = element.getBoundingClientRect();
            if (!box.width || !box.height) return { fault: "has no size" };
            const x = box.x + box.width / 2, y = box.y + box.height / 2;
            const top = document.elementFromPoint(x, y);
            if (!top || !(element.contains(top) || top.contains(element)))
                return { fault: "lies under " + (top ? top.outerHTML.slice(0, 120) : "nothing") };
            return { x, y };
        })"#;
        let place = self.eval(&format!("{probe}({})", json!(selector))).await;
        if let Some(fault) = place["fault"].as_str() {
            return Err(format!("`{selector}` {fault}"));
        }
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place["x"], "y": place["y"], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event).await;
        }
        Ok(())
    }

    /// Empties the storage of the site shown and the console, and leaves the site.
    pub(super) async fn clear(&self) {
        // An empty tab has no storage.
        self.eval("try { localStorage.clear(); sessionStorage.clear(); } catch {}").await;
        self.go("about:blank").await.expect("it is always there");
        self.complaints();
    }

    /// What the browser measured since the tab was opened, by name: `ScriptDuration` in seconds and others.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        self.call("Performance.enable", json!({})).await;
        let answer = self.call("Performance.getMetrics", json!({})).await;
        let metrics = answer["metrics"].as_array().map(Vec::as_slice).unwrap_or_default();
        metrics.iter().find(|metric| metric["name"] == name).and_then(|metric| metric["value"].as_f64()).unwrap_or_default()
    }

    /// Presses a key that writes nothing, such as `Escape`.
    pub(crate) async fn press(&self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Shows the page as on a screen of this size, light or dark.
    pub(crate) async fn screen(&self, width: u32, height: u32, scheme: &str) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features).await;
    }

    /// A picture of what is on the screen, as PNG.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        base64::engine::general_purpose::STANDARD.decode(text(&answer, "data")).expect("the protocol says base64")
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.wire.sessions.lock().expect("no holder panics").remove(&self.session);
    }
}

// === impl Seen ===

impl Seen {
    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        let in_main = params["frameId"] == self.main_frame.as_str();
        match event["method"].as_str().unwrap_or_default() {
            "Page.lifecycleEvent" if in_main && params["name"] == "load" => {
                self.loads.push(text(params, "loaderId"));
            }
            "Network.requestWillBeSent" => {
                self.sent.push(text(&params["request"], "url"));
                // The document of a foreign frame is finished in another process, which does not tell us;
                // a ping outlives its page. The recorder sees both.
                let told = params["type"] != "Ping" && (params["type"] != "Document" || in_main);
                if params["type"] == "Document" && in_main {
                    self.in_flight.clear();
                }
                if told {
                    self.in_flight.insert(text(params, "requestId"));
                }
            }
            "Network.responseReceived" if in_main && params["type"] == "Document" => {
                self.status = params["response"]["status"].as_u64();
            }
            "Network.loadingFinished" | "Network.loadingFailed" => {
                self.in_flight.remove(params["requestId"].as_str().unwrap_or_default());
            }
            "Runtime.exceptionThrown" => {
                let details = &params["exceptionDetails"];
                let thrown = details["exception"]["description"].as_str().or_else(|| details["text"].as_str());
                self.complaints.push(thrown.unwrap_or_default().lines().next().unwrap_or_default().to_owned());
            }
            "Runtime.consoleAPICalled" if params["type"] == "error" => {
                self.complaints.push(params["args"][0]["value"].as_str().unwrap_or("console.error").to_owned());
            }
            "Log.entryAdded" if params["entry"]["level"] == "error" => {
                let entry = &params["entry"];
                // What a policy only reports is not stopped: the open page keeps the one it came with.
                if entry["text"].as_str().is_some_and(|text| text.contains("the following report-only Content Security Policy")) {
                    return;
                }
                self.complaints.push(format!("{} {}", entry["text"].as_str().unwrap_or_default(), entry["url"]));
            }
            _ => return,
        }
        self.last = Instant::now();
    }
}
