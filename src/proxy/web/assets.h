/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The style sheet and the scripts of the web pages: the files of src/proxy/web/assets, embedded in the program by
 * embed.py.
 *
 * The URL of a file, /web/assets/DIGEST/NAME, changes with its content; browsers may therefore keep it for ever. A
 * request with another digest, as from a page of a proxy of another version, gets the file of this version, which
 * browsers do not keep.
 */
#ifndef PROXY_WEB_ASSETS_H
#define PROXY_WEB_ASSETS_H

#include <stddef.h>

#include "net/http_server.h"

struct web_asset {
        const char *name, *url, *type;
        const unsigned char *bytes;
        size_t len;
};
extern const struct web_asset web_assets[];
extern const size_t web_asset_count;

/* The URL of a file that exists, for an attribute of a page. */
const char *web_asset_url(const char *name);

/* The file at a path below /web/assets/; NULL: there is none. *ret_is_current: the path has the digest of its content. */
const struct web_asset *web_asset_find(struct str path, bool *ret_is_current);

void web_asset_respond(struct http_exchange *x, const struct web_asset *asset, bool is_current);

#endif
