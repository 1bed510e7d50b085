//! Reads one address in the spellings of programs and proxies, and says which addresses tell nothing of a viewer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address of a node, which may be written as a network, or behind a name and a slash.
pub(super) fn address_of_node(node: &str) -> Option<IpAddr> {
    match node.split_once('/') {
        None => address(node),
        // The prefix length of a network of one address: /32 or /128.
        Some((alone, bits)) if bits.bytes().all(|digit| digit.is_ascii_digit()) => {
            address(alone).filter(|found| bits == if found.is_ipv4() { "32" } else { "128" })
        }
        // Java writes a name, which may be empty, a slash and the address.
        Some((_, behind)) => address(behind),
    }
}

/// The node without `::ffff:`, the mark of IPv4 in IPv6. Programs also put it before an IPv4 address with a port.
pub(super) fn unmapped(node: &str) -> &str {
    let (mark, rest) = node.split_at_checked("::ffff:".len()).unwrap_or(("", node));
    if mark.eq_ignore_ascii_case("::ffff:") && rest.contains('.') { rest } else { node }
}

/// Whether an address belongs to no viewer: a loopback, broadcast or unspecified address.
pub(super) fn is_of_nobody(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// Whether many networks use this address internally. Such an address does not distinguish viewers.
pub fn is_shared(address: IpAddr) -> bool {
    match address {
        // Carriers use 100.64.0.0/10 within their networks (RFC 6598).
        IpAddr::V4(it) => {
            it.is_private() || it.is_link_local() || it.octets()[0] == 100 && it.octets()[1] & 0xC0 == 64
        }
        IpAddr::V6(it) => it.is_unique_local() || it.is_unicast_link_local(),
    }
}

/// The node in an item of the proxies' list. In a `Forwarded` header (RFC 7239) the node is the value of `for=`.
pub(super) fn node(item: &str) -> &str {
    let mut pairs = item.split(';').filter_map(|pair| pair.split_once('='));
    let named = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    named.map_or(item, |(_, node)| node).trim().trim_matches('"')
}

/// Reads an address, which may have a port, brackets or a zone. IPv4 inside IPv6 becomes IPv4.
pub(super) fn address(node: &str) -> Option<IpAddr> {
    let node = node.trim().trim_matches('"');
    let bare = match node.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?.0,
        // One colon comes before a port; an IPv6 address has more than one.
        None => match node.split_once(':') {
            Some((host, port)) if !port.contains(':') => host,
            _ => node,
        },
    };
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, _zone) = bare.split_once('%')?;
    address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}
