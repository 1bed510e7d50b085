//! A collection host of the tests' own: a thread per connection that speaks bytes, and may misbehave at any of them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The body of Adobe's sample reply.
pub(crate) const SUCCESS: &str = "<?xml version=1.0 encoding=UTF-8?><status>SUCCESS</status>";

/// A reply of this status line, with these header lines and this body.
pub(crate) fn reply(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

pub(crate) fn success() -> String {
    reply("200 OK", "Content-Type: application/xml\r\n", SUCCESS)
}

trait Bytes: Read + Write + Send {
    /// Says that nothing more will come, where the protocol has words for it.
    fn say_end(&mut self) {}
}

impl Bytes for TcpStream {}

impl Bytes for StreamOwned<ServerConnection, TcpStream> {
    fn say_end(&mut self) {
        self.conn.send_close_notify();
        let _gone = self.flush();
    }
}

/// The server's end of a connection. Dropping it closes, with a reset if the client's bytes were not all read.
pub(crate) struct Peer {
    /// From 1, in the order of arrival.
    pub(crate) number: usize,
    stream: Box<dyn Bytes>,
    tcp: TcpStream,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    /// Reads one whole request, or `None` where the client closed first.
    pub(crate) fn request(&mut self) -> Option<String> {
        let mut request = self.read_until("\r\n\r\n")?;
        let head = request.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let mut body = vec![0; length.map_or(0, |digits| digits.parse().expect("a length"))];
        self.stream.read_exact(&mut body).ok()?;
        request.push_str(&String::from_utf8_lossy(&body));
        self.requests.lock().expect("no panic").push(request.clone());
        Some(request)
    }

    /// Reads byte by byte, so that nothing behind `end` is taken.
    pub(crate) fn read_until(&mut self, end: &str) -> Option<String> {
        let mut text = String::new();
        while !text.ends_with(end) {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).ok()?;
            text.push(char::from(byte[0]));
        }
        Some(text)
    }

    /// Sends bytes at once; whether the client still listens is its own affair.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _gone = self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush());
    }

    /// Ends the connection properly: TLS has a word for it, which a connection that is cut off lacks.
    pub(crate) fn say_end(&mut self) {
        self.stream.say_end();
    }

    /// Answers every request with SUCCESS.
    pub(crate) fn serve(&mut self) {
        while self.request().is_some() {
            self.send(success());
        }
    }

    /// Reads this many bytes.
    pub(crate) fn read(&mut self, bytes: usize) {
        let _closed = self.stream.read_exact(&mut vec![0; bytes]);
    }

    /// Becomes a tunnel to `target`, as a proxy does.
    pub(crate) fn tunnel(&mut self, target: SocketAddr) {
        let upstream = TcpStream::connect(target).expect("a target");
        let pump = |mut from: &TcpStream, mut to: &TcpStream| {
            let _closed = io::copy(&mut from, &mut to);
            let _gone = to.shutdown(Shutdown::Write);
        };
        thread::scope(|scope| {
            scope.spawn(|| pump(&self.tcp, &upstream));
            pump(&upstream, &self.tcp);
        });
    }

    /// Waits until the client closes.
    pub(crate) fn until_closed(&mut self) {
        let _closed_or_reset = io::copy(&mut self.stream, &mut io::sink());
    }
}

/// A listening server; its threads end with their connections.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    closed: Mutex<Receiver<()>>,
}

impl Server {
    /// Has `script` speak on each connection over plain TCP.
    pub(crate) fn start(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Server {
        Server::listen(script, |tcp| Box::new(tcp))
    }

    /// The same behind TLS.
    pub(crate) fn start_tls(
        config: ServerConfig,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Server {
        let config = Arc::new(config);
        Server::listen(script, move |tcp| {
            let tls = ServerConnection::new(Arc::clone(&config)).expect("a server's side of TLS");
            Box::new(StreamOwned::new(tls, tcp))
        })
    }

    fn listen(
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
        wrap: impl Fn(TcpStream) -> Box<dyn Bytes> + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (tell, closed) = channel();
        let server = Server {
            address: listener.local_addr().expect("an address"),
            requests: Arc::default(),
            connections: Arc::default(),
            closed: Mutex::new(closed),
        };
        let (requests, connections) = (Arc::clone(&server.requests), Arc::clone(&server.connections));
        let (script, wrap) = (Arc::new(script), Arc::new(wrap));
        thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                let number = connections.fetch_add(1, SeqCst) + 1;
                let (requests, tell) = (Arc::clone(&requests), tell.clone());
                let (script, wrap) = (Arc::clone(&script), Arc::clone(&wrap));
                thread::spawn(move || {
                    tcp.set_nodelay(true).expect("a socket");
                    let raw = tcp.try_clone().expect("a socket");
                    let mut peer = Peer { number, stream: wrap(tcp), tcp: raw, requests };
                    script(&mut peer);
                    drop(peer);
                    let _nobody_asks = tell.send(());
                });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections that were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// Whole requests that were read so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }

    /// The bodies of them.
    pub(crate) fn bodies(&self) -> Vec<String> {
        let body = |request: &String| request.split_once("\r\n\r\n").expect("a request").1.to_owned();
        self.requests().iter().map(body).collect()
    }

    /// Waits until the server has closed one more connection. It blocks the thread, so that the client's runtime learns
    /// nothing of it meanwhile.
    pub(crate) fn wait_for_close(&self) {
        self.closed.lock().expect("no panic").recv_timeout(Duration::from_secs(10)).expect("a close");
    }
}
