//! Opens a connection. Name lookup, TCP, proxy and TLS each have their own time limit.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use std::io;

use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::hyper::deadline::Deadline;
use crate::hyper::failure;
use crate::hyper::proxy::Proxy;
use crate::hyper::tls::{self, Protocol, Stream, Tls};
use crate::hyper::trace::TraceStep;
use crate::origin::is_loopback_name;
use crate::{Cause, Delivery, Origin, Phase, Scheme, TransportError};

/// How long one address is tried before the next one is tried in parallel (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// How to reach the origin, and how requests name it.
pub(crate) struct Route {
    pub(crate) origin: Origin,
    /// The value of the `Host` header.
    pub(crate) host: HeaderValue,
    /// Where to connect instead of the origin's own host and port.
    pub(crate) connect_to: Option<(String, u16)>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) tls: Tls,
    /// The protocol to use without TLS, where nothing is negotiated.
    pub(crate) cleartext: Protocol,
}

impl Route {
    /// The URL of a request with this path.
    pub(crate) fn uri(&self, path: &Uri) -> Uri {
        let path = path.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Uri::builder()
            .scheme(self.origin.scheme().as_str())
            .authority(self.host.as_bytes())
            .path_and_query(path)
            .build()
            .unwrap_or_default()
    }

    /// The proxy that gets cleartext requests, with the whole URL in the request line.
    pub(crate) fn forward_proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|_| self.origin.scheme() == Scheme::Http)
    }

    /// Opens one connection.
    pub(crate) async fn dial(&self, deadline: Deadline) -> Result<(Stream, Protocol), TransportError> {
        if self.origin.scheme() == Scheme::Https {
            self.tls.prepare();
        }
        let tcp = match &self.proxy {
            None => {
                let (host, port) = match &self.connect_to {
                    Some((host, port)) => (host.as_str(), *port),
                    None => (self.origin.host(), self.origin.port()),
                };
                self.connect("", host, port, deadline).await?
            }
            Some(proxy) => {
                let tcp = self.connect("the proxy ", proxy.host(), proxy.port(), deadline).await?;
                match self.origin.scheme() {
                    Scheme::Https => {
                        let step = TraceStep::tunnel(proxy, &self.origin.authority());
                        step.run(proxy.tunnel(tcp, &self.origin, deadline))
                            .await
                            .inspect_err(|error| step.failed(error))?
                    }
                    Scheme::Http => tcp,
                }
            }
        };
        match self.origin.scheme() {
            Scheme::Http => Ok((tls::cleartext(tcp), self.cleartext)),
            Scheme::Https => {
                let step = TraceStep::tls(&self.origin.authority());
                let missed = || format!("`{}` did not finish the TLS handshake", self.origin.authority());
                step.run(deadline.run(Phase::Tls, self.tls.handshake(tcp, &self.origin), missed))
                    .await
                    .flatten()
                    .inspect_err(|error| step.failed(error))
            }
        }
    }

    /// Opens a TCP connection; `role` is written before the name in errors.
    async fn connect(
        &self,
        role: &str,
        host: &str,
        port: u16,
        deadline: Deadline,
    ) -> Result<TcpStream, TransportError> {
        let step = TraceStep::connect(host, port);
        step.run(self.resolve_and_open(role, host, port, deadline))
            .await
            .inspect_err(|error| step.failed(error))
    }

    async fn resolve_and_open(
        &self,
        role: &str,
        host: &str,
        port: u16,
        deadline: Deadline,
    ) -> Result<TcpStream, TransportError> {
        let addresses = resolve(host, port, deadline).await?;
        let missed = || {
            let tried = match addresses.first() {
                Some(first) => tried(host, port, *first, addresses.len()),
                None => format!("`{host}`"),
            };
            format!("{role}{tried} did not accept a connection")
        };
        let opened = deadline.run(Phase::Connect, race(&addresses, open), missed).await?;
        opened.map_err(|(address, error)| {
            let what = failure::describe_io(&error).unwrap_or("cannot be reached");
            let detail = format!("{role}{} {what}", tried(host, port, address, addresses.len()));
            TransportError::new(Delivery::NotSent, Phase::Connect, Cause::Io, detail).with_source(error)
        })
    }
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect(address).await?;
    // Requests are written at once; waiting to fill a segment would only delay the last part.
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Describes what was tried: the given host, and the address found for it.
fn tried(host: &str, port: u16, address: SocketAddr, addresses: usize) -> String {
    match host.parse::<IpAddr>() {
        Ok(_) => format!("`{address}`"),
        Err(_) if addresses == 1 => format!("`{host}:{port}` (`{}`)", address.ip()),
        Err(_) => format!("`{host}:{port}` ({addresses} addresses, `{}` among them)", address.ip()),
    }
}

/// Looks up the addresses of a host, in the order in which to try them.
async fn resolve(host: &str, port: u16, deadline: Deadline) -> Result<Vec<SocketAddr>, TransportError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if is_loopback_name(host) {
        // RFC 6761, section 6.3. Skipping the lookup saves a thread, and prevents a search domain from sending a token
        // elsewhere.
        let addresses: [IpAddr; 2] = [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
        return Ok(addresses.map(|address| SocketAddr::new(address, port)).to_vec());
    }
    let missed = || format!("no address was found for `{host}`");
    found(host, deadline.run(Phase::Resolve, tokio::net::lookup_host((host, port)), missed).await?)
}

fn found(
    host: &str,
    looked_up: io::Result<impl Iterator<Item = SocketAddr>>,
) -> Result<Vec<SocketAddr>, TransportError> {
    let fail = |detail| TransportError::new(Delivery::NotSent, Phase::Resolve, Cause::Io, detail);
    let addresses =
        looked_up.map_err(|error| fail(format!("no address was found for `{host}`")).with_source(error))?;
    let addresses = interleave(addresses);
    if addresses.is_empty() {
        return Err(fail(format!("`{host}` has no address")));
    }
    Ok(addresses)
}

/// Sorts addresses so that IPv6 and IPv4 alternate, IPv6 first, in the resolver's order within each family.
fn interleave(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut unique: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let (six, four): (Vec<_>, Vec<_>) = unique.into_iter().partition(SocketAddr::is_ipv6);
    let mut sorted = Vec::with_capacity(six.len() + four.len());
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    loop {
        let (a, b) = (six.next(), four.next());
        if a.is_none() && b.is_none() {
            return sorted;
        }
        sorted.extend(a);
        sorted.extend(b);
    }
}

/// Connects to the first address that answers. Each address has a head start over the next one; it ends early if the
/// attempt fails.
///
/// If all fail, the last error is returned.
async fn race<T, F: Future<Output = io::Result<T>>>(
    addresses: &[SocketAddr],
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, (SocketAddr, io::Error)> {
    let mut waiting = addresses.iter().copied();
    let mut running = Vec::new();
    let mut last = None;
    let mut timer = pin!(sleep(Duration::ZERO));
    let mut start = true;
    core::future::poll_fn(|cx| {
        loop {
            if start {
                start = false;
                if let Some(address) = waiting.next() {
                    running.push((address, Box::pin(connect(address))));
                    timer.as_mut().reset(tokio::time::Instant::now() + HEAD_START);
                }
            }
            let mut index = 0;
            while let Some((address, attempt)) = running.get_mut(index) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(connected)) => return Poll::Ready(Ok(connected)),
                    Poll::Ready(Err(error)) => {
                        last = Some((*address, error));
                        drop(running.remove(index));
                        start = true;
                    }
                    Poll::Pending => index += 1,
                }
            }
            if start && waiting.len() > 0 {
                continue;
            }
            start = false;
            if running.is_empty() && waiting.len() == 0 {
                let nowhere = || (SocketAddr::from(([0, 0, 0, 0], 0)), io::ErrorKind::NotFound.into());
                return Poll::Ready(Err(last.take().unwrap_or_else(nowhere)));
            }
            if waiting.len() > 0 && Pin::new(&mut timer).as_mut().poll(cx).is_ready() {
                start = true;
                continue;
            }
            return Poll::Pending;
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;
    use crate::hyper::Timeouts;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_ipv6_begins() {
        let sort = |texts: &[&str]| interleave(addresses(texts).into_iter());
        assert_eq!(
            sort(&["1.1.1.1:1", "2.2.2.2:1", "[::1]:1", "3.3.3.3:1", "[::2]:1", "1.1.1.1:1"]),
            addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "3.3.3.3:1"])
        );
        assert_eq!(sort(&["2.2.2.2:1", "1.1.1.1:1"]), addresses(&["2.2.2.2:1", "1.1.1.1:1"]));
        assert_eq!(sort(&[]), []);
    }

    /// Ports that decide how an address behaves.
    const DEAD: u16 = 1;
    const REFUSES: u16 = 2;
    const ANSWERS: u16 = 3;
    const SLOW: u16 = 4;

    async fn behave(address: SocketAddr) -> io::Result<SocketAddr> {
        match address.port() {
            DEAD => core::future::pending().await,
            REFUSES => Err(io::ErrorKind::ConnectionRefused.into()),
            SLOW => {
                sleep(Duration::from_millis(400)).await;
                Ok(address)
            }
            _ => Ok(address),
        }
    }

    /// Runs the race; returns the winner, its duration, and the start of each attempt.
    async fn run(texts: &[&str]) -> (Result<SocketAddr, SocketAddr>, u128, Vec<u128>) {
        let start = Instant::now();
        let begun = Mutex::new(Vec::new());
        let result = race(&addresses(texts), |address| {
            begun.lock().unwrap().push(start.elapsed().as_millis());
            behave(address)
        })
        .await;
        (result.map_err(|(address, _)| address), start.elapsed().as_millis(), begun.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_address_that_answers_is_the_only_one_tried() {
        let (won, took, begun) = run(&["[::1]:3", "1.1.1.1:3"]).await;
        assert_eq!((won.unwrap().to_string().as_str(), took, begun), ("[::1]:3", 0, vec![0]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_first_address_costs_at_most_300_ms() {
        let (won, took, begun) = run(&["[::1]:1", "1.1.1.1:3"]).await;
        assert_eq!(won.unwrap().to_string(), "1.1.1.1:3");
        assert!(took <= 300, "{took}");
        assert_eq!(begun.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_attempt_starts_the_next_one_at_once() {
        let (won, took, begun) = run(&["[::1]:2", "1.1.1.1:2", "[::2]:3"]).await;
        assert_eq!((won.unwrap().to_string().as_str(), took, begun), ("[::2]:3", 0, vec![0, 0, 0]));
    }

    #[tokio::test(start_paused = true)]
    async fn each_attempt_starts_250_ms_after_the_previous_one() {
        let (won, _, begun) = run(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:3"]).await;
        assert_eq!(won.unwrap().port(), ANSWERS);
        let gaps: Vec<u128> = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| (250..=300).contains(gap)), "{gaps:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_address_still_wins_if_it_comes_first() {
        let (won, took, begun) = run(&["[::1]:4", "1.1.1.1:1", "2.2.2.2:2"]).await;
        assert_eq!(won.unwrap().port(), SLOW);
        assert!((400..450).contains(&took), "{took}");
        assert_eq!(begun.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn if_all_addresses_fail_the_last_error_is_returned() {
        let (won, took, begun) = run(&["[::1]:2", "1.1.1.1:2"]).await;
        assert_eq!((won.unwrap_err().to_string().as_str(), took, begun.len()), ("1.1.1.1:2", 0, 2));
        assert!(run(&[]).await.0.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn if_no_address_answers_the_deadline_ends_the_race() {
        let deadline = Deadline::start(Timeouts::new());
        let dead = addresses(&["[::1]:1", "1.1.1.1:1"]);
        let missed = || tried("a.test", 443, dead[0], 2);
        let ended = deadline.run(Phase::Connect, race(&dead, behave), missed).await.unwrap_err();
        let text = "`a.test:443` (2 addresses, `::1` among them) within 10 s (connecting)";
        assert_eq!(ended.to_string(), text);
    }

    #[test]
    fn errors_name_the_host_and_the_address_that_was_tried() {
        let address: SocketAddr = "127.0.0.1:9".parse().unwrap();
        assert_eq!(tried("127.0.0.1", 9, address, 1), "`127.0.0.1:9`");
        assert_eq!(tried("a.test", 9, address, 1), "`a.test:9` (`127.0.0.1`)");
        assert_eq!(tried("a.test", 9, address, 3), "`a.test:9` (3 addresses, `127.0.0.1` among them)");
    }

    #[test]
    fn a_look_up_that_finds_nothing_is_an_error_of_its_phase() {
        let none = found("a.test", Ok(core::iter::empty())).unwrap_err();
        assert_eq!(
            (none.phase(), none.to_string().as_str()),
            (Phase::Resolve, "`a.test` has no address (looking up the host)")
        );
        let failed =
            found("a.test", Err::<core::iter::Empty<_>, _>(io::ErrorKind::Other.into())).unwrap_err();
        assert_eq!((failed.delivery(), failed.phase()), (Delivery::NotSent, Phase::Resolve));
    }
}
