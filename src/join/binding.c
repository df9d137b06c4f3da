/* SPDX-License-Identifier: Apache-2.0 */
#include "join/binding.h"

#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/text.h"
#include "pki/key.h"

/* Puts the number of fields, then each field as its length and its bytes (RFC 4251 section 5: string). */
static void put_list(struct buf *out, const char *const *list, size_t count)
{
        buf_put_u32(out, (uint32_t)count);
        for (size_t i = 0; i < count; i++)
                buf_put_ssh_string(out, str_of(list[i]));
}

void join_binding_digest(const struct join_binding *b, char ret[JOIN_BINDING_SIZE + 1])
{
        AUTO(buf) bytes = BUF_MAX(2 * LIMIT_RPC_JOIN); /* the fields came in one or two messages */
        AUTO(buf) hex = BUF_MAX(JOIN_BINDING_SIZE + 1);
        uint8_t digest[32];

        buf_put_ssh_string(&bytes, STR("cteleport join binding 1"));
        buf_put_ssh_string(&bytes, b->channel);
        buf_put_ssh_string(&bytes, b->token_name);
        buf_put_ssh_string(&bytes, b->role);
        buf_put_ssh_string(&bytes, b->host_id);
        buf_put_ssh_string(&bytes, b->host_name);
        buf_put_ssh_string(&bytes, b->tls_public_key);
        buf_put_ssh_string(&bytes, b->ssh_public_key);
        put_list(&bytes, b->principals, b->principal_count);
        put_list(&bytes, b->dns_names, b->dns_name_count);
        sha256(buf_str(&bytes), digest);
        hex_encode(&hex, str_of_bytes(digest, sizeof digest));
        memcpy(ret, buf_c(&hex), JOIN_BINDING_SIZE + 1);
}
