/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/assets.h"

#include "base/bug.h"

const char *web_asset_url(const char *name)
{
        for (size_t i = 0; i < web_asset_count; i++) {
                if (strcmp(web_assets[i].name, name) == 0)
                        return web_assets[i].url;
        }
        bug("there is no file %s in src/proxy/web/assets", name);
}

const struct web_asset *web_asset_find(struct str path, bool *ret_is_current)
{
        struct str name = path;
        for (size_t i = 0; i < path.len; i++) {
                if (path.ptr[i] == '/')
                        name = str_slice(path, i + 1, path.len);
        }
        for (size_t i = 0; i < web_asset_count; i++) {
                if (!str_equal(name, str_of(web_assets[i].name)))
                        continue;
                *ret_is_current = str_equal(path, str_of(web_assets[i].url));
                return &web_assets[i];
        }
        return NULL;
}

void web_asset_respond(struct http_exchange *x, const struct web_asset *asset, bool is_current)
{
        const char *fields = is_current ? "Cache-Control: public, max-age=31536000, immutable\r\n"
                                          "X-Content-Type-Options: nosniff\r\n"
                                          "Cross-Origin-Resource-Policy: same-origin\r\n"
                                        : "Cache-Control: no-store\r\n"
                                          "X-Content-Type-Options: nosniff\r\n"
                                          "Cross-Origin-Resource-Policy: same-origin\r\n";
        http_respond(x, (struct http_response){ .status = 200, .content_type = asset->type, .fields = fields,
                                                .body = str_of_bytes(asset->bytes, asset->len) });
}
