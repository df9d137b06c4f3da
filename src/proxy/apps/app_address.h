/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of applications in browsers: which host names are for an application, and the texts of the cookie exchange
 * (docs/decisions/0038-applications-in-the-browser.md), which come from the browser and are believed only after these checks.
 */
#ifndef PROXY_APPS_APP_ADDRESS_H
#define PROXY_APPS_APP_ADDRESS_H

#include "api.pb-c.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/map.h"
#include "proxy/web/form.h"

enum { APP_NAME_MAX = 63, APP_STATE_SECRET_LEN = 64, APP_STATE_ID_LEN = 16, APP_TARGET_MAX = FORM_TARGET_MAX, APP_TARGET_ENCODED_MAX = FORM_TARGET_MAX };

/*
 * The name of the application that a host name, with or without a port, stands for: one label under one of the proxy's public names.
 * *ret_public is that public name's address. False, with "" in ret_app: it is none, but a name of the proxy itself, an address, a deeper
 * name or one of somebody else.
 */
bool app_address_find(struct str host, char *const *public_addrs, size_t count, char ret_app[APP_NAME_MAX + 1], struct str *ret_public);

/* The names that applications have beside those below the proxy's, and the applications that hosts offer. A zeroed one is empty. */
struct app_addresses {
        struct map by_host; /* host -> name of the application, owned; "": several have it */
        struct map offered; /* set of names of applications */
};

/* Replaces them by those that auth has sent. */
void app_addresses_set(struct app_addresses *a, const Cteleport__V1__AppAddresses *sent);
void app_addresses_release(struct app_addresses *a);

/*
 * As app_address_find(), and afterwards among the addresses: never for a name of the proxy itself or one below it. ret_app is "" if several
 * applications have the name. *ret_public is the public name with most labels at the end in common.
 */
bool app_addresses_find(const struct app_addresses *a, struct str host, char *const *public_addrs, size_t count, char ret_app[APP_NAME_MAX + 1],
                        struct str *ret_public);

/*
 * Whether a host name is that of an application which a host of the cluster offers, in one of the two ways, so that a certificate may be
 * ordered for it. ret_name is the name in lower case.
 */
enum { APP_CERT_NAME_MAX = LIMIT_ACME_APP_NAME };
bool app_addresses_may_certify(const struct app_addresses *a, struct str host, char *const *public_addrs, size_t count, char ret_name[APP_CERT_NAME_MAX + 1]);

/* The host of "host", "host:port", "[v6]:port", without the port. */
struct str app_address_host(struct str address);

/*
 * Whether these are path and query of a URL of the same host, and nothing else: visible ASCII, the path begins with a single "/". They
 * are at most APP_TARGET_MAX bytes long.
 */
bool app_address_is_path(struct str path);
bool app_address_is_query(struct str query);

/* Splits "<secret>_<ID>", both of lower-case hexadecimal digits. False: it has another form. */
bool app_address_split_state(struct str state, struct str *ret_secret, struct str *ret_id);

/* Whether s is `len` lower-case hexadecimal digits. */
bool app_address_is_hex(struct str s, size_t len);

/*
 * A browser that opens an application with required_apps opens these first, one after another: `app` is the application, `at` the number of
 * those that it has been led to. `at` only grows, so the way ends whatever the applications require.
 */
struct app_chain {
        struct str app; /* "": the application is opened for itself */
        unsigned at;
};

/* Reads the parameters `for` and `at`. False, with a zeroed result: they are absent or have another form. */
bool app_address_read_chain(struct str app, struct str at, struct app_chain *ret);

/* Appends "&for=…&at=…", or without an application "&at=…"; nothing of a zeroed one. */
void app_address_put_chain(struct buf *out, const struct app_chain *chain);

/*
 * Appends "path=…&query=…" for the launch page; a target that is longer than APP_TARGET_ENCODED_MAX is shortened to its path, or left out: then the application's
 * start page is opened.
 */
void app_address_put_target(struct buf *out, struct str path, struct str query);

#endif
