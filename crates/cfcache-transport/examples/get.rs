//! Sends one request to a server on this machine, which answers with what it received.

use bytes::Bytes;
use cfcache_transport::{HyperTransport, Operation, Request, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?).parse()?;
    let echo = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await?;
        let mut request = [0; 1024];
        let len = socket.read(&mut request).await?;
        socket.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n").as_bytes()).await?;
        socket.write_all(&request[..len]).await
    });
    let transport = HyperTransport::builder(origin).build()?;
    let message = http::Request::get("/client/v4/zones").body(Bytes::new())?;
    let response = transport.send(Request::new(Operation::new("list_zones"), message)).await?;
    assert!(response.status().is_success());
    assert!(response.body().starts_with(b"GET /client/v4/zones HTTP/1.1\r\n"));
    Ok(echo.await??)
}
