//! `consentry demo`: a small shop with real-shaped tags of every vendor, the gate in front of it, and
//! a page that shows live what was held and what went out. No traffic leaves the machine: the
//! vendors are played on names below `.localhost`, which stay on it (RFC 6761, 6.3).
//!
//! The gate is the same pipeline as `serve`. Pages and played vendors are data in `templates/demo/`.

mod live;
mod played;
mod shop;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

use anyhow::Context as _;
use include_dir::{Dir, include_dir};
use tokio::{net::TcpListener, sync::watch};
use url::Url;

use super::{Failed, serve};
use crate::{
    app::{App, read_policies, read_templates},
    config::{Config, Limits},
    proxy::listen,
    telemetry,
};

/// `templates/demo/`: the shop, the played vendors, the live page.
static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates/demo");

#[derive(clap::Args)]
pub(super) struct Args {
    /// Where the shop is visited, through the gate
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where health is told
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    admin: SocketAddr,
    /// Where the live page is, and where the vendors are played
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8082")]
    live: SocketAddr,
    /// The folder of the consent log [default: a new one in the system's folder for temporary files]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A folder of policy files, over the demo's
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// A folder of templates, over the embedded ones
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> Result<(), Failed> {
    telemetry::start();
    super::block_on(async move { Box::pin(play(args)).await })
}

async fn play(args: Args) -> Result<(), Failed> {
    let world = bind(args.live, "live").await?;
    let shop = bind(SocketAddr::from(([127, 0, 0, 1], 0)), "shop").await?;
    let world_address = world.local_addr().map_err(|error| Failed::Working(error.into()))?;
    let shop_address = shop.local_addr().map_err(|error| Failed::Working(error.into()))?;
    let played = Arc::new(played::Played::read(world_address.port()).context("templates/demo/played.toml is at fault")?);

    let data = match args.data {
        Some(data) => data,
        None => std::env::temp_dir().join(format!("consentry-demo-{}", std::process::id())),
    };
    let mut policies = read_policies(None).map_err(Failed::Faults)?;
    policies.insert("site.toml", text("site.toml")?);
    if let Some(folder) = &args.policies {
        for (path, text) in read_policies(Some(folder)).map_err(Failed::Faults)?.iter() {
            policies.insert(path, text);
        }
    }
    let templates = read_templates(args.templates.as_deref()).map_err(Failed::Faults)?;
    let upstream = Url::parse(&format!("http://{shop_address}")).map_err(|error| Failed::Working(error.into()))?;
    let config = Config {
        listen: args.listen,
        admin: args.admin,
        upstream: Some(upstream),
        data: data.clone(),
        policies: args.policies,
        templates: args.templates,
        ..Config::default()
    };
    let app = App::open_with(config, &policies, &templates).await.map_err(serve::failed)?;
    let gate = app.address().map_err(|error| Failed::Working(error.into()))?;
    let board = live::Board::new(app.site());
    told(gate, world_address, &data).map_err(|error| Failed::Working(error.into()))?;

    let (stop, stopping) = watch::channel(false);
    let limits = Limits { drain_s: 1, ..Limits::default() };
    let shop = listen::serve(shop, &limits, None, stopping.clone(), {
        let played = Arc::clone(&played);
        move |req, _| {
            let played = Arc::clone(&played);
            async move { shop::answer(&req, &played) }
        }
    });
    let world = listen::serve(world, &limits, None, stopping, {
        let board = Arc::clone(&board);
        move |req, _| {
            let (played, board) = (Arc::clone(&played), Arc::clone(&board));
            async move { live::answer(req, &played, &board) }
        }
    });
    let gate = async {
        let ended = app.run(serve::stopped()).await;
        let _ = stop.send(true);
        ended
    };
    let (ended, (), (), ()) = tokio::join!(gate, shop, world, board.follow());
    ended.map_err(serve::failed)
}

async fn bind(address: SocketAddr, what: &str) -> Result<TcpListener, Failed> {
    TcpListener::bind(address)
        .await
        .with_context(|| {
            format!("{address} ({what}) cannot be opened: is another demo running? Choose another address with --{what}")
        })
        .map_err(Failed::Working)
}

/// A file of the demo as text.
fn text(path: &str) -> Result<&'static str, Failed> {
    let file = FILES.get_file(path).and_then(|file| file.contents_utf8());
    file.with_context(|| format!("templates/demo/{path} is not built in")).map_err(Failed::Working)
}

fn told(gate: SocketAddr, live: SocketAddr, data: &std::path::Path) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out)?;
    writeln!(out, "  The shop, through the gate    http://{gate}/")?;
    writeln!(out, "  What is held, what goes out   http://{live}/?shop=http://{gate}/")?;
    writeln!(out)?;
    writeln!(out, "  Open both side by side, then answer the banner.")?;
    writeln!(out, "  Your answers are on record:   consentry log export --format csv --data {}", data.display())?;
    writeln!(out, "  No traffic leaves this machine: the vendors are played here. Ctrl-C ends it.")?;
    writeln!(out)
}
