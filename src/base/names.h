/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The alphabets of names: checked at every entrance, by these functions only, on counted bytes.
 */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/*
 * Host, cluster and DNS names: letters, digits, '.', '-'; begins with a letter or digit; at most 256
 * bytes; no empty labels. Nothing a shell, a terminal, ssh or a certificate pattern would interpret.
 */
bool name_is_host(struct str s);

/* Token names and IDs: letters, digits, '.', '_', '-', '+', '=', '@', ':'; not beginning with '-'; at most 256. */
bool name_is_token(struct str s);

/* Users of the cluster: letters, digits, '.', '_', '-', '+', '@'; begins with a letter, digit or '_'; at most 128. */
bool name_is_user(struct str s);

/*
 * Accounts on nodes: letters, digits, '.', '_', '-', beginning with a letter, digit or '_'; accounts of a directory have
 * '@' and its domain behind, of the same form. At most LIMIT_LOGIN_NAME.
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
struct error *name_check_login(struct str s) MUST_USE; /* "the login 'a b' is not …": the list is the caller's to name */

/* host:port of an address that was copied from a browser: without https:// in front and what follows the port. */
struct str name_of_url(struct str address);

/*
 * The one form in which names of hosts and host IDs are compared and kept, appended to out: lower case, no dot at the
 * end, no ".<cluster>" behind; an address as inet_ntop writes it, one of IPv4 without "::ffff:". It is its own canonical
 * form; two spellings of one name have the same.
 */
void name_put_canonical(struct buf *out, struct str name, struct str cluster_name);

/* Whether two names are spellings of one. */
bool name_is_same(struct str a, struct str b, struct str cluster_name);

/* Whether the name is a host ID or lies under one ("<id>.internal"), in any spelling; *ret_id (may be NULL) gets the ID, appended. */
bool name_is_under_host_id(struct str name, struct str cluster_name, struct buf *ret_id);

/*
 * Names no joining host may ask for, in any spelling: localhost and its usual other names, loopback addresses,
 * teleport.cluster.local, what is below these two, and the cluster's own name. (Our own certificates for Auth and Proxy may hold them.)
 * A short name is reserved when it is one of the cluster's inner ones with the cluster's name behind it.
 */
bool name_is_reserved(struct str s, struct str cluster_name);

/* The name of a cluster: that of a host, and neither teleport.cluster.local nor below it, for then those of all its hosts would be. */
struct error *name_check_cluster(struct str s, const char *field) MUST_USE;

#endif
