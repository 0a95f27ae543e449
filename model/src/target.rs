//! Which URLs the system may send to, so that no stream makes a deployment call what only it can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A URL as the platform's parser (WHATWG) took it apart. `fetch` has the same parser: what is judged is what is
/// fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// All of it, serialized. Not looked at here, and in no error: it may hold a token.
    pub href: String,
    /// `https`, without the colon.
    pub scheme: String,
    /// Whether a user name or a password stands in it.
    pub has_credentials: bool,
    /// As `URL.hostname`: lower case, IPv4 in dotted decimal, IPv6 compressed and in brackets.
    pub hostname: String,
    /// The port, where it is not the scheme's own.
    pub port: Option<u16>,
}

/// What a deployment allows, and what it is.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    /// The development switch: `localhost`, `*.localhost`, `127.0.0.0/8` and `[::1]` are targets, also over `http` and
    /// where they are the deployment itself. Opens no other private address.
    pub loopback: bool,
    /// The hosts the deployment itself answers at, as `host` or `host:port`, IPv6 in brackets. Never a target.
    pub own_hosts: Vec<String>,
}

/// Blocks of IPv4 that are not globally reachable unicast: the IANA IPv4 Special-Purpose Address Registry (RFC 6890),
/// the withdrawn 6to4 relays (RFC 7526) and multicast (RFC 5771).
const REFUSED_V4: &[(Ipv4Addr, u32, &str)] = &[
    (Ipv4Addr::UNSPECIFIED, 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared by a carrier"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relays"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    // With the broadcast address.
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// The only IPv6 block from which global unicast addresses are given out (IANA IPv6 Global Unicast Address
/// Assignments). Outside lie `::`, `::1`, NAT64 (`64:ff9b::/96`, `64:ff9b:1::/48`), `100::/64`, `fc00::/7`,
/// `fe80::/10`, `fec0::/10` and `ff00::/8`.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Blocks within [`GLOBAL_V6`] that are not globally reachable, or lead to an IPv4 address (IANA IPv6 Special-Purpose
/// Address Registry, RFC 6890).
const REFUSED_V6: &[(Ipv6Addr, u32, &str)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "Teredo and other protocol assignments"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
];

/// Domains that public DNS does not have, so that only a resolver of the deployment's own network answers: IANA
/// Special-Use Domain Names (RFC 6761, 6762, 7686, 8375, 9476), ICANN's `internal` and its deferred collisions
/// (`corp`, `home`, `mail`), and what networks use by habit. All of `arpa`, as no target lives there.
/// `example` is not among them: it resolves nowhere.
const PRIVATE_DOMAINS: &[&str] = &[
    "alt",
    "arpa",
    "corp",
    "home",
    "internal",
    "intra",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "mail",
    "onion",
    "private",
    "test",
];

/// Public domains whose names lead to any address one writes into them, to loopback, or to one address after another.
/// No such list is complete: what a name resolves to is not known here.
const WILDCARD_DOMAINS: &[&str] = &[
    "1u.ms",
    "backname.io",
    "fuf.me",
    "ip6.name",
    "lacolhost.com",
    "local.gd",
    "localho.st",
    "localtest.me",
    "lvh.me",
    "nip.io",
    "rbndr.us",
    "smackaho.st",
    "sslip.io",
    "traefik.me",
    "vcap.me",
    "xip.io",
    "xip.name",
];

/// Judges one URL. A redirect leads to another one, which has to be judged again.
///
/// Guarantees of what passes: `https`, no credentials, and a host that is a globally reachable unicast address or a
/// name of public DNS, and not the deployment itself. [`Allowed::loopback`] adds what it says.
///
/// # Errors
/// What is wrong, for people. Names at most the scheme and the host.
pub fn check(url: &Url, allowed: &Allowed) -> Result<(), String> {
    if url.has_credentials {
        return Err("a target has no user name or password in its URL; use a header with a secret".to_owned());
    }
    let host = Host::read(&url.hostname)?;
    if allowed.loopback && host.is_loopback() {
        return match url.scheme.as_str() {
            "https" | "http" => Ok(()),
            other => Err(format!("a target has the scheme https, or http on loopback, not {other}")),
        };
    }
    if url.scheme != "https" {
        return Err(format!("a target has the scheme https, not {}", url.scheme));
    }
    if allowed.own_hosts.iter().any(|own| Host::read(without_port(own)).as_ref() == Ok(&host)) {
        return Err(format!("{host} is this deployment itself; name a stream instead", host = url.hostname));
    }
    match host {
        Host::Address(IpAddr::V4(address)) => check_v4(address),
        Host::Address(IpAddr::V6(address)) => check_v6(address),
        Host::Name(name) => check_name(&name),
    }
}

/// A host in its one spelling.
#[derive(Debug, PartialEq, Eq)]
enum Host {
    /// IPv4 written as IPv6, mapped or compatible (RFC 4291), is the IPv4 address.
    Address(IpAddr),
    /// A well-formed DNS name: lower case, no trailing dot, not a number.
    Name(String),
}

impl Host {
    fn read(hostname: &str) -> Result<Self, String> {
        if let Some(inner) = hostname.strip_prefix('[') {
            let address = inner.strip_suffix(']').and_then(|text| text.parse().ok());
            return Ok(Self::Address(plain(address.ok_or_else(|| format!("{hostname} is not an IPv6 address"))?)));
        }
        if let Ok(address) = hostname.parse() {
            return Ok(Self::Address(IpAddr::V4(address)));
        }
        let name = hostname.trim_end_matches('.').to_ascii_lowercase();
        if name.is_empty() {
            return Err("a target names a host".to_owned());
        }
        if !is_dns_name(&name) {
            return Err(format!("{hostname} is not a DNS name"));
        }
        // The parser makes an address of every name that ends in a number. What is left is something in disguise.
        if name.rsplit('.').next().is_some_and(is_number) {
            return Err(format!("{hostname} ends in a number, but is not an IPv4 address"));
        }
        Ok(Self::Name(name))
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.is_loopback(),
            Self::Name(name) => is_at_or_below(name, "localhost"),
        }
    }
}

/// The address itself, or the IPv4 address that is embedded in it.
fn plain(address: Ipv6Addr) -> IpAddr {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return IpAddr::V4(mapped);
    }
    match u32::try_from(address.to_bits()) {
        // `::` and `::1` are IPv6's own.
        Ok(0 | 1) | Err(_) => IpAddr::V6(address),
        Ok(compatible) => IpAddr::V4(Ipv4Addr::from_bits(compatible)),
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`: the host.
fn without_port(own: &str) -> &str {
    if own.starts_with('[') {
        return own.split_inclusive(']').next().unwrap_or(own);
    }
    own.split(':').next().unwrap_or(own)
}

/// RFC 1035, with the underscore.
fn is_dns_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    name.len() <= 253
        && name.split('.').all(|label| !label.is_empty() && label.len() <= 63 && label.bytes().all(allowed))
}

/// What the WHATWG parser takes for a number of an IPv4 address, whether or not it is a right one.
fn is_number(label: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    digits(label) || label.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_at_or_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn check_v4(address: Ipv4Addr) -> Result<(), String> {
    for (block, length, what) in REFUSED_V4 {
        if (address.to_bits() ^ block.to_bits()) >> (32 - length) == 0 {
            return Err(format!("{address} is not a public address: {block}/{length}, {what}"));
        }
    }
    Ok(())
}

fn check_v6(address: Ipv6Addr) -> Result<(), String> {
    let within = |block: Ipv6Addr, length: u32| (address.to_bits() ^ block.to_bits()) >> (128 - length) == 0;
    let (global, global_length) = GLOBAL_V6;
    if !within(global, global_length) {
        return Err(format!("[{address}] is not a public address: outside {global}/{global_length}"));
    }
    for (block, length, what) in REFUSED_V6 {
        if within(*block, *length) {
            return Err(format!("[{address}] is not a public address: {block}/{length}, {what}"));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), String> {
    if let Some(domain) = PRIVATE_DOMAINS.iter().find(|domain| is_at_or_below(name, domain)) {
        return Err(format!("{name} is not a public name: {domain} is only known within a network"));
    }
    if let Some(domain) = WILDCARD_DOMAINS.iter().find(|domain| is_at_or_below(name, domain)) {
        return Err(format!("{name} is not a target: names of {domain} lead to any address"));
    }
    if !name.contains('.') {
        return Err(format!("{name} is not a public name: it has no dot"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Takes a URL apart as the platform does; `None` where the parser refuses.
    fn parse(text: &str) -> Option<Url> {
        let url = url::Url::parse(text).ok()?;
        Some(Url {
            href: url.to_string(),
            scheme: url.scheme().to_owned(),
            has_credentials: !url.username().is_empty() || url.password().is_some(),
            hostname: url.host_str().unwrap_or_default().to_owned(),
            port: url.port(),
        })
    }

    fn passes(text: &str, allowed: &Allowed) -> bool {
        parse(text).is_some_and(|url| check(&url, allowed).is_ok())
    }

    fn development() -> Allowed {
        Allowed { loopback: true, ..Allowed::default() }
    }

    const PUBLIC: &[&str] = &[
        "https://example.com/hook",
        "https://EXAMPLE.com./hook",
        "https://example.com:8443/x?y=1",
        "https://example.com:80/",
        "https://a_b.example.com/",
        "https://bücher.example.com/",
        "https://xn--bcher-kva.example.com/",
        "https://例え.jp/",
        "https://hooks.example/",
        "https://localhost.example.com/",
        "https://notlocalhost.com/",
        "https://internal.example.com/",
        "https://mynip.io/",
        "https://8.8.8.8/",
        "https://134744072/",
        "https://0x08.8.8.8/",
        "https://1.1.1.1:8443/",
        "https://9.255.255.255/",
        "https://100.128.0.0/",
        "https://172.32.0.1/",
        "https://192.0.1.0/",
        "https://198.20.0.0/",
        "https://223.255.255.255/",
        "https://[2606:4700::1111]/",
        "https://[2a00:1450:4001:800::200e]:8443/",
        "https://[2001:200::1]/",
        "https://[::ffff:8.8.8.8]/",
        "https://3.1u.example.com/",
        "https://0x7f.com/",
        "https://123.com/",
        "HTTPS://example.com\\hook",
    ];

    /// Refused with the development switch as well.
    const REFUSED: &[&str] = &[
        // Schemes.
        "http://example.com/",
        "http://8.8.8.8/",
        "ftp://example.com/",
        "ws://example.com/",
        "wss://example.com/",
        "file:///etc/passwd",
        "data:text/plain,x",
        "blob:https://example.com/1",
        "gopher://example.com/",
        "javascript:alert(1)",
        "ftp://127.0.0.1/",
        "ftp://localhost/",
        "file://localhost/etc/passwd",
        // Credentials.
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://:password@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com:443@10.0.0.1/",
        "https://user@localhost/",
        "https://127.0.0.1%2f@example.com/",
        // No host.
        "https:///",
        "https://./",
        "https://../",
        // The metadata services of clouds.
        "https://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254./",
        "https://169.254.169.254../",
        "https://169.254.43518/",
        "https://169.16689662/",
        "https://2852039166/",
        "https://0xa9fea9fe/",
        "https://0xA9.0xFE.0xA9.0xFE/",
        "https://0251.0376.0251.0376/",
        "https://025177524776/",
        "https://0xa9.254.0251.254/",
        "https://①⑥⑨.②⑤④.①⑥⑨.②⑤④/",
        "https://169。254。169。254/",
        "https://%31%36%39.254.169.254/",
        "https://[::ffff:169.254.169.254]/",
        "https://[::ffff:a9fe:a9fe]/",
        "https://[0:0:0:0:0:ffff:a9fe:a9fe]/",
        "https://[::169.254.169.254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[64:ff9b::169.254.169.254]/",
        "https://[2002:a9fe:a9fe::]/",
        "https://[fd00:ec2::254]/",
        "https://metadata.google.internal/",
        "https://METADATA.google.internal./",
        "https://metadata/",
        "https://instance-data.ec2.internal/",
        "https://100.100.100.200/",
        "https://192.0.0.192/",
        // The rest of IPv4.
        "https://0.0.0.0/",
        "https://0/",
        "https://0x/",
        "https://0.1.2.3/",
        "https://10.0.0.1/",
        "https://012.1/",
        "https://100.64.0.0/",
        "https://100.127.255.255/",
        "https://172.16.0.0/",
        "https://172.31.255.255/",
        "https://192.0.0.0/",
        "https://192.0.2.255/",
        "https://192.88.99.1/",
        "https://192.168.1.1/",
        "https://192.168.257/",
        "https://3232235777/",
        "https://198.18.0.0/",
        "https://198.19.255.255/",
        "https://198.51.100.7/",
        "https://203.0.113.7/",
        "https://224.0.0.1/",
        "https://239.255.255.255/",
        "https://240.0.0.1/",
        "https://255.255.255.255/",
        "https://4294967295/",
        "https://4294967296/",
        "https://256.1.1.1/",
        "https://1.2.3.4.5/",
        "https://127.0.0.1../",
        "https://8.8.8.8../",
        "https://example.127/",
        "https://example.0x7f/",
        "https://example.0x7f../",
        "https://10.0.0.1%00/",
        "https://10.0.0.1%0a/",
        // The rest of IPv6.
        "https://[::]/",
        "https://[::2]/",
        "https://[::10.0.0.1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[::ffff:0:10.0.0.1]/",
        "https://[64:ff9b:1::1]/",
        "https://[64:ff9b::8.8.8.8]/",
        "https://[100::1]/",
        "https://[100:0:0:1::1]/",
        "https://[2001::1]/",
        "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
        "https://[2001:2::1]/",
        "https://[2001:10::1]/",
        "https://[2001:20::1]/",
        "https://[2001:1ff:ffff::]/",
        "https://[2001:db8::1]/",
        "https://[2002:808:808::1]/",
        "https://[3fff::1]/",
        "https://[3fff:fff::1]/",
        "https://[4000::1]/",
        "https://[5f00::1]/",
        "https://[1fff::1]/",
        "https://[fc00::1]/",
        "https://[fdff::1]/",
        "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/",
        "https://[febf::1]/",
        "https://[fec0::1]/",
        "https://[ff02::1]/",
        "https://[::1",
        "https://::1/",
        // Names.
        "https://printer/",
        "https://printer./",
        "https://com/",
        "https://printer.local/",
        "https://printer.LOCAL../",
        "https://ⓟrinter.ⓛocal/",
        "https://a.b.internal/",
        "https://wiki.intranet/",
        "https://router.home.arpa/",
        "https://home.arpa/",
        "https://router.lan/",
        "https://x.corp/",
        "https://x.home/",
        "https://x.test/",
        "https://x.invalid/",
        "https://x.onion/",
        "https://localhost.localdomain/",
        "https://10.0.0.1.nip.io/",
        "https://nip.io/",
        "https://app-10-0-0-1.NIP.io./",
        "https://127-0-0-1.sslip.io/",
        "https://localtest.me/",
        "https://x.localtest.me/",
        "https://x.lvh.me/",
        "https://x.vcap.me/",
        "https://x.lacolhost.com/",
        "https://10.0.0.1.xip.io/",
        "https://7f000001.0a000001.rbndr.us/",
        "https://a..example.com/",
        "https://.example.com/",
        "https://*.example.com/",
        "https://exa$mple.com/",
        "https://a%2fb.com/",
    ];

    /// Targets with the development switch, and only with it.
    const LOOPBACK: &[&str] = &[
        "https://127.0.0.1/",
        "https://127.0.0.1./",
        "https://127.255.255.254:8787/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7F.1/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://127.1/",
        "https://127.0.1/",
        "https://0x7f.0.01.1/",
        "https://１２７.０.０.１/",
        "https://127。0。0。1/",
        "https://%31%32%37.0.0.1/",
        "https://127.0.0.%31/",
        "https://127%2e0.0.1/",
        "https://127.0.0.1\\@example.com/",
        "https://127.0.0.1#@example.com/",
        "https://127.0.0.1?@example.com/",
        "https:127.0.0.1",
        "https:\\\\127.0.0.1/",
        "https://12\t7.0.0.1/",
        "https://[::1]/",
        "https://[0:0:0:0:0:0:0:1]:8787/",
        "https://[::0001]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[::127.0.0.1]/",
        "https://localhost/",
        "https://localhost./",
        "https://localhost../",
        "https://LOCALHOST/",
        "https://LocalHost:8787/",
        "https://ⓛocalhost/",
        "https://local\u{ad}host/",
        "https://local%68ost/",
        "https://a.b.localhost/",
        "https://a.localhost./",
    ];

    #[test]
    fn public_hosts_pass() {
        for text in PUBLIC {
            assert_eq!(parse(text).map(|url| check(&url, &Allowed::default())), Some(Ok(())), "{text}");
            assert!(passes(text, &development()), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_in_every_notation() {
        for text in REFUSED {
            assert!(!passes(text, &Allowed::default()), "{text}");
            assert!(!passes(text, &development()), "{text} with the switch");
        }
    }

    #[test]
    fn the_switch_opens_loopback_and_nothing_else() {
        for text in LOOPBACK {
            assert!(parse(text).is_some(), "{text}");
            assert!(!passes(text, &Allowed::default()), "{text}");
            assert!(passes(text, &development()), "{text} with the switch");
            assert!(passes(&text.replacen("https:", "http:", 1), &development()), "{text} over http with the switch");
        }
    }

    #[test]
    fn the_deployment_itself_is_no_target() {
        let own = |host: &str, loopback| Allowed { loopback, own_hosts: vec!["other.example.com".into(), host.into()] };
        for (host, text) in [
            ("tail.example.com", "https://tail.example.com/"),
            ("Tail.Example.com.", "https://tail.example.com:8443/"),
            ("tail.example.com:8443", "https://TAIL.example.com./"),
            ("bare.example.com", "https://b%61re.example.com/"),
            ("8.8.8.8:443", "https://8.8.8.8/"),
            ("8.8.8.8", "https://[::ffff:8.8.8.8]/"),
            ("[2606:4700:0::1111]:443", "https://[2606:4700::1111]:8443/"),
        ] {
            assert!(passes(text, &Allowed::default()), "{text}");
            assert!(!passes(text, &own(host, false)), "{text}");
            assert!(!passes(text, &own(host, true)), "{text} with the switch");
        }
        assert!(passes("https://sub.tail.example.com/", &own("tail.example.com", false)));
        assert!(passes("https://example.com/", &own("", false)));
        assert!(passes("http://localhost:8787/", &own("localhost:8787", true)));
        assert!(!passes("http://localhost:8787/", &own("localhost:8787", false)));
    }

    #[test]
    fn a_host_the_parser_would_not_give_is_refused() {
        let hosts =
            ["", ".", "0177.0.0.1", "127.1", "2130706433", "0x7f000001", "[::1", "[]", "::1", "a b", "a/b", "ä.com"];
        for hostname in hosts {
            let url = Url { hostname: hostname.into(), ..parse("https://example.com/").unwrap() };
            assert!(check(&url, &Allowed::default()).is_err(), "{hostname}");
            assert!(check(&url, &development()).is_err(), "{hostname} with the switch");
        }
    }

    #[test]
    fn an_error_shows_neither_credentials_nor_path() {
        for text in ["https://u:hunter2@example.com/", "http://example.com/hunter2", "https://10.0.0.1/hunter2?hunter2"]
        {
            let error = check(&parse(text).unwrap(), &Allowed::default()).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    /// The same registry, by the standard library where it knows it.
    fn is_public(address: Ipv4Addr) -> bool {
        let [a, b, c, _] = address.octets();
        !(address.is_private()
            || address.is_loopback()
            || address.is_link_local()
            || address.is_documentation()
            || address.is_multicast()
            || address.is_broadcast()
            || a == 0
            || a >= 240
            || (a == 100 && (64..128).contains(&b))
            || (a == 198 && (b == 18 || b == 19))
            || (a == 192 && b == 0 && c == 0)
            || (a == 192 && b == 88 && c == 99))
    }

    /// `bits` in every number of parts and every base, and within IPv6.
    fn notations(bits: u32, bases: [u8; 4]) -> Vec<String> {
        let number = |value: u32, base: u8| match base {
            0 => format!("{value}"),
            1 => format!("0x{value:x}"),
            2 => format!("0X{value:08X}"),
            3 => format!("0{value:o}"),
            _ => format!("000{value:o}"),
        };
        let address = Ipv4Addr::from_bits(bits);
        let [a, b, c, d] = address.octets().map(u32::from);
        let [first, second, third, last] = bases;
        let two = format!("{}.{}", number(a, first), number(bits & 0x00ff_ffff, last));
        let three = format!("{}.{}.{}", number(a, first), number(b, second), number(bits & 0xffff, last));
        let four = format!("{}.{}.{}.{}", number(a, first), number(b, second), number(c, third), number(d, last));
        let wide = address.to_string().chars().map(|c| if c == '.' { '。' } else { wide_digit(c) }).collect();
        let encoded = address.to_string().bytes().map(percent_encoding::percent_encode_byte).collect();
        vec![
            address.to_string(),
            format!("{address}."),
            number(bits, last),
            two,
            three,
            four,
            wide,
            encoded,
            format!("[::ffff:{address}]"),
            format!("[0:0::ffff:{:x}:{:x}]", bits >> 16, bits & 0xffff),
        ]
    }

    fn wide_digit(digit: char) -> char {
        digit.to_digit(10).and_then(|value| char::from_u32(0xff10 + value)).unwrap()
    }

    fn agrees(bits: u32, bases: [u8; 4]) {
        let address = Ipv4Addr::from_bits(bits);
        for host in notations(bits, bases) {
            assert!(parse(&format!("https://{host}/")).is_some(), "{host}");
            assert_eq!(passes(&format!("https://{host}/"), &Allowed::default()), is_public(address), "{host}");
            let expected = is_public(address) || address.is_loopback();
            assert_eq!(passes(&format!("https://{host}/"), &development()), expected, "{host} with the switch");
        }
    }

    #[test]
    fn the_edges_of_every_block_are_right() {
        for (block, length, _) in REFUSED_V4 {
            let first = block.to_bits();
            let last = first | (u32::MAX >> length);
            for bits in [first.wrapping_sub(1), first, last, last.wrapping_add(1)] {
                agrees(bits, [0, 1, 3, 0]);
            }
        }
    }

    #[test]
    fn every_slash_24_is_judged_as_the_standard_library_does() {
        for bits in (0..=u32::MAX >> 8).map(|high| high << 8 | high & 0xff) {
            let address = Ipv4Addr::from_bits(bits);
            assert_eq!(check_v4(address).is_ok(), is_public(address), "{address}");
        }
    }

    proptest! {
        #[test]
        fn an_address_is_judged_alike_in_every_notation(
            block in 0..REFUSED_V4.len() * 2, bits in any::<u32>(), bases in any::<[u8; 4]>(),
        ) {
            // Every other one lies within a refused block.
            let bits = REFUSED_V4.get(block).map_or(bits, |(start, length, _)| start.to_bits() | (bits >> length));
            agrees(bits, bases.map(|base| base % 5));
        }

        #[test]
        fn no_ipv6_address_outside_the_global_block_passes(bits in any::<u128>()) {
            let address = Ipv6Addr::from_bits(bits);
            let passed = passes(&format!("https://[{address}]/"), &Allowed::default());
            prop_assert!(!passed || address.segments()[0] & 0xe000 == 0x2000);
        }

        #[test]
        fn no_url_whatever_panics(text in "\\PC{0,60}") {
            passes(&text, &Allowed::default());
            passes(&format!("https://{text}"), &development());
        }
    }
}
