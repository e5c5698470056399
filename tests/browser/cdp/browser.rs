//! Starting Chromium, and visitors in it: each has cookies, cache and connections of their own.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Page, Script, Wire};

/// A cold start on a machine that compiles at the same time has been seen to take eight seconds.
const START_TIMEOUT: Duration = Duration::from_secs(40);

/// Where Chromium itself calls home, whatever the flags say: no vendor is there, and nobody answers.
const BROWSER_HOSTS: [&str; 9] = [
    "accounts.google.com",
    "android.clients.google.com",
    "clients*.google.com",
    "content-autofill.googleapis.com",
    "edgedl.me.gvt1.com",
    "optimizationguide-pa.googleapis.com",
    "redirector.gvt1.com",
    "safebrowsing*.googleapis.com",
    "update.googleapis.com",
];

/// A running Chromium. It is ended when this is dropped.
pub(crate) struct Browser {
    wire: Arc<Wire>,
    child: Child,
    // Dropped last: the browser writes to it until it ends.
    _profile: tempfile::TempDir,
}

/// One visitor: a browser context with an empty cookie jar and cache.
pub(crate) struct Visitor<'browser> {
    browser: &'browser Browser,
    /// None: the browser's own profile.
    context: Option<String>,
}

/// A cookie in a visitor's jar.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Cookie {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: String,
    /// The host it belongs to, with a leading dot where it goes to the hosts below as well.
    pub(crate) domain: String,
    /// The path it belongs to.
    pub(crate) path: String,
    /// Whether scripts are kept from it.
    #[serde(rename = "httpOnly")]
    pub(crate) http_only: bool,
}

// === impl Browser ===

impl Browser {
    /// Starts a browser for which every foreign host is at `foreign_port` on this machine. Hosts below
    /// `.localhost` are this machine as well, at the port they name: they are the site.
    pub(crate) async fn start(foreign_port: u16) -> Self {
        let profile = tempfile::tempdir().expect("the temporary folder is writable");
        let program = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
        let child = Command::new(&program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-default-apps",
                "--disable-dev-shm-usage",
                "--disable-extensions",
                // Several visitors at once: none of their tabs is slowed down for being behind another.
                "--disable-background-timer-throttling",
                "--disable-backgrounding-occluded-windows",
                "--disable-renderer-backgrounding",
                // Frames of other sites in the page's own process: half the processes, and scripts that are
                // switched off are so in frames too.
                "--disable-site-isolation-trials",
                "--disable-features=IsolateOrigins,site-per-process,OptimizationHints,OptimizationGuideModelDownloading,\
                 AutofillServerCommunication,MediaRouter,Translate",
                "--no-proxy-server",
                "--ignore-certificate-errors",
                "--accept-lang=en-GB,en",
                "--remote-debugging-port=0",
                "about:blank",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--host-resolver-rules={}", host_rules(foreign_port)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|fault| panic!("{program} does not start ({fault}): tests/run installs it, or set CHROMIUM"));
        // From here on a panic ends the browser as well.
        let mut starting = Starting { child: Some(child) };
        let address = address(profile.path(), starting.child.as_mut().expect("taken below only")).await;
        let wire = Wire::connect(&address).await;
        Self { wire, child: starting.child.take().expect("taken here only"), _profile: profile }
    }

    /// A new visitor.
    pub(crate) async fn visitor(&self) -> Visitor<'_> {
        let answer = self.wire.must(None, "Target.createBrowserContext", json!({})).await;
        Visitor { browser: self, context: Some(text(&answer, "browserContextId")) }
    }

    /// The one visitor in the browser's own profile. Only there does Chromium open connections ahead of
    /// requests; the others are like private windows.
    pub(crate) fn owner(&self) -> Visitor<'_> {
        Visitor { browser: self, context: None }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The first rule that matches counts.
fn host_rules(foreign_port: u16) -> String {
    let own: String = BROWSER_HOSTS.iter().map(|host| format!("MAP {host} ~NOTFOUND, ")).collect();
    format!("{own}MAP *.localhost 127.0.0.1, EXCLUDE 127.0.0.1, MAP * 127.0.0.1:{foreign_port}")
}

struct Starting {
    child: Option<Child>,
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    let _ = child.kill(); // It may have ended by itself.
    let _ = child.wait();
}

/// Where the browser listens: it writes port and path into its profile once it does.
async fn address(profile: &Path, child: &mut Child) -> String {
    let file = profile.join("DevToolsActivePort");
    let start = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(&file)
            && let Some((port, path)) = text.trim_end().split_once('\n')
        {
            return format!("ws://127.0.0.1:{port}{path}");
        }
        if let Ok(Some(status)) = child.try_wait() {
            panic!("the browser ended while starting: {status}");
        }
        assert!(start.elapsed() < START_TIMEOUT, "the browser did not start in {START_TIMEOUT:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

// === impl Visitor ===

impl Visitor<'_> {
    /// A new tab, empty.
    pub(crate) async fn page(&self, script: Script) -> Page {
        let wire = &self.browser.wire;
        let made = wire.must(None, "Target.createTarget", self.scoped(json!({ "url": "about:blank" }))).await;
        let target = text(&made, "targetId");
        let attached = wire.must(None, "Target.attachToTarget", json!({ "targetId": target, "flatten": true })).await;
        Page::attach(Arc::clone(wire), text(&attached, "sessionId"), target, script).await
    }

    /// Everything in the jar.
    pub(crate) async fn cookies(&self) -> Vec<Cookie> {
        let mut answer = self.browser.wire.must(None, "Storage.getCookies", json!({ "browserContextId": self.context })).await;
        serde_json::from_value(answer["cookies"].take()).expect("the protocol's cookie has these fields")
    }

    /// Puts a cookie into the jar, as a script or server of the site had done before.
    pub(crate) async fn set_cookie(&self, name: &str, value: &str, domain: &str, path: &str) {
        let cookie = json!({ "name": name, "value": value, "domain": domain, "path": path });
        self.browser.wire.must(None, "Storage.setCookies", self.scoped(json!({ "cookies": [cookie] }))).await;
    }

    /// Becomes somebody else: jar and storage are emptied. Far cheaper than a new visitor; open connections
    /// and what is cached stay.
    pub(crate) async fn start_over(&self, page: &Page) {
        // First off the site: its scripts could set a cookie again.
        page.clear().await;
        self.browser.wire.must(None, "Storage.clearCookies", self.scoped(json!({}))).await;
    }

    /// The visitor leaves: tabs, jar and cache are gone.
    pub(crate) async fn leave(self) {
        if self.context.is_some() {
            self.browser.wire.must(None, "Target.disposeBrowserContext", self.scoped(json!({}))).await;
        }
    }

    fn scoped(&self, mut params: Value) -> Value {
        if let Some(context) = &self.context {
            params["browserContextId"] = json!(context);
        }
        params
    }
}

pub(super) fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_else(|| panic!("{answer} has no {field}")).to_owned()
}
