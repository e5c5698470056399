//! One address whose owner puts something else behind it: as on the day the gate is deployed.

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A forwarding port.
pub(crate) struct Switch {
    /// Where it listens.
    pub(crate) port: u16,
    behind: watch::Sender<u16>,
}

impl Switch {
    /// Starts it with this port behind it.
    pub(crate) async fn start(behind: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (behind, current) = watch::channel(behind);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(forward(stream, current.clone()));
            }
        });
        Self { port, behind }
    }

    /// Puts another port behind it. Open connections to the old one end.
    pub(crate) fn turn(&self, behind: u16) {
        self.behind.send_replace(behind);
    }
}

async fn forward(mut stream: TcpStream, mut current: watch::Receiver<u16>) {
    let behind = *current.borrow_and_update();
    let Ok(mut onward) = TcpStream::connect(("127.0.0.1", behind)).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut stream, &mut onward) => {}
        _ = current.changed() => {}
    }
}
