/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Validation of names. All names received from outside are checked with these functions.
 */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/*
 * Host, cluster and DNS names: letters, digits, '.', '-'; begins with a letter or digit; at most 256 bytes; no empty
 * labels. No characters with a meaning for a shell, a terminal, ssh or a certificate pattern.
 */
bool name_is_host(struct str s);

/* Host names that the DNS can have (RFC 1035 section 2.3.4): at most 253 bytes, in labels of at most 63. Names to connect to. */
bool name_is_dns(struct str s);

/*
 * What to write instead of a name that no DNS name can be because of its length, because it is not ASCII, or because resolvers take it for
 * an address; otherwise NULL. Names with other characters (IDNA's U-labels) are never encoded here: programs differ in how they do that, and so in the host they reach.
 */
const char *name_dns_hint(struct str s);

/* Applications: a label of the DNS (RFC 1035 section 2.3.1): lower case letters, digits, '-'; begins with a letter, does not end in '-'; at most 63. */
bool name_is_app(struct str s);

/* Token names and IDs: letters, digits, '.', '_', '-', '+', '=', '@', ':'; not beginning with '-'; at most 256. */
bool name_is_token(struct str s);

/* Users of the cluster: letters, digits, '.', '_', '-', '+', '@'; begins with a letter, digit or '_'; at most 128. */
bool name_is_user(struct str s);

/*
 * Accounts on nodes: letters, digits, '.', '_', '-', beginning with a letter, digit or '_'; accounts of a directory
 * service may end in '@' and a domain of the same form. At most LIMIT_LOGIN_NAME.
 */
bool name_is_login(struct str s);

/* A canonical lower-case UUID. */
bool name_is_uuid(struct str s);

/* A canonical lower-case UUID, or EC2's "<12 digits>-i-<8 or more hex digits>". */
bool name_is_host_id(struct str s);

/* An IPv4 or IPv6 literal. */
bool name_is_ip(struct str s);

/* Twelve ASCII digits. */
bool name_is_aws_account(struct str s);

/* The same with an error that names the field and shows the (escaped) value. */
struct error *name_check_host(struct str s, const char *field) MUST_USE;
struct error *name_check_token(struct str s, const char *field) MUST_USE;
struct error *name_check_login(struct str s) MUST_USE; /* "the login 'a b' is not …"; the caller adds the field's name */

/* host:port of an address that was copied from a browser: without the leading https:// and any text after the port. */
struct str name_of_url(struct str address);

/* host:port, with brackets around an IPv6 address: the inverse of address_split(). The caller frees it. */
char *address_join(struct str host, int port) MUST_USE;

/*
 * Appends the canonical form of a host name or host ID, which is used to compare and store them: lower case, without a
 * trailing dot and ".<cluster>" suffix; addresses as inet_ntop writes them, IPv4 addresses without "::ffff:". All
 * spellings of a name have the same canonical form.
 */
void name_put_canonical(struct buf *out, struct str name, struct str cluster_name);

/* Whether a resolver may take the name for an IP address, in any spelling: "127.1", "0x7f000001". */
bool name_is_any_ip(struct str s);

/* Whether two names are spellings of one. */
bool name_is_same(struct str a, struct str b, struct str cluster_name);

/* Whether the name is a host ID or lies under one ("<id>.internal"), in any spelling; *ret_id (may be NULL) gets the ID, appended. */
bool name_is_under_host_id(struct str name, struct str cluster_name, struct buf *ret_id);

/*
 * Whether a name, in any spelling, must not be given to joining hosts: localhost and its usual synonyms, loopback
 * addresses, teleport.cluster.local, subdomains of these two, and the cluster's own name. (Certificates of the Auth and
 * Proxy Service may contain them.) A short name is reserved when it is an internal name of the cluster once the
 * cluster's name is appended.
 */
bool name_is_reserved(struct str s, struct str cluster_name);

/*
 * Checks the name of a cluster: it must be a valid host name and neither teleport.cluster.local nor a subdomain of it,
 * as the names of all its hosts would then be reserved.
 */
struct error *name_check_cluster(struct str s, const char *field) MUST_USE;

#endif
