/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/users/credentials.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/hosts/hosts.h"
#include "base/mem.h"
#include "base/text.h"
#include "pki/key.h"
#include "rpc/wire.h"

enum { RECORD_ARENA = 64 * KiB };

void password_key(struct str user, struct buf *out)
{
        buf_put_c(out, "/passwords/");
        buf_put(out, user);
}

/* A digest, as of join tokens: an index over secrets would tell by its timing how much of a guess was right. */
void invite_key(struct str token, struct buf *out)
{
        uint8_t digest[32];

        sha256(token, digest);
        buf_put_c(out, "/invites/");
        hex_encode(out, str_of_bytes(digest, sizeof digest));
}

void invited_key(struct str user, struct buf *out)
{
        buf_put_c(out, "/invited/");
        buf_put(out, user);
}

void credential_release(struct credential *c)
{
        free((char *)(uintptr_t)c->hash.ptr);
        secret_release(&c->totp_key);
        *c = (struct credential){ 0 };
}

struct error *credential_read(const struct store_item *item, struct credential *ret)
{
        AUTO_PTR(arena) arena = arena_new(RECORD_ARENA);
        ProtobufCMessage *message = NULL;
        struct credential c = { 0 };

        if (item == NULL) {
                *ret = c;
                return NULL;
        }
        struct error *err = wire_decode(arena, &cteleport__state__v1__password__descriptor, item->value, &message);
        if (err != NULL)
                return error_because(error_new(ERROR_DATA_LOSS, "a stored password cannot be read"), err);
        const Cteleport__State__V1__Password *p = (const Cteleport__State__V1__Password *)message;
        c.hash = (struct str){ str_dup(str_of(p->hash)), strlen(p->hash) };
        c.totp_key = secret_of(str_of_bytes(p->totp_key.data, p->totp_key.len));
        wipe(p->totp_key.data, p->totp_key.len);
        c.last_step = p->totp_last_step;
        c.changed = p->changed;
        c.revision = item->revision;
        for (size_t i = 0; i < p->n_known_sources; i++)
                credential_add_source(&c, p->known_sources[i]);
        *ret = c;
        return NULL;
}

void credential_put(struct store_txn *t, struct str user, const struct credential *c)
{
        Cteleport__State__V1__Password p = CTELEPORT__STATE__V1__PASSWORD__INIT;
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);
        char *sources[LIMIT_LOGIN_SOURCES];

        for (size_t i = 0; i < c->source_count; i++)
                sources[i] = (char *)(uintptr_t)c->sources[i];
        p.hash = (char *)(uintptr_t)c->hash.ptr; /* str_dup ends in NUL */
        p.totp_key = (ProtobufCBinaryData){ c->totp_key.len, (uint8_t *)c->totp_key.ptr };
        p.totp_last_step = c->last_step;
        p.changed = c->changed;
        p.known_sources = sources;
        p.n_known_sources = c->source_count;
        password_key(user, &key);
        store_txn_put_message(t, buf_str(&key), &p.base, (struct walltime){ 0 });
}

static size_t find_source(const struct credential *c, const char *source)
{
        size_t at = 0;

        while (at < c->source_count && strcmp(c->sources[at], source) != 0)
                at++;
        return at;
}

bool credential_knows(const struct credential *c, const char *source)
{
        return find_source(c, source) < c->source_count;
}

void credential_add_source(struct credential *c, const char *source)
{
        size_t at = find_source(c, source);

        if (at == c->source_count && c->source_count == LIMIT_LOGIN_SOURCES)
                at = 0;
        if (at < c->source_count) {
                memmove(c->sources[at], c->sources[at + 1], (c->source_count - at - 1) * sizeof c->sources[0]);
                c->source_count--;
        }
        snprintf(c->sources[c->source_count], sizeof c->sources[0], "%s", source);
        c->source_count++;
}

void credentials_forget(struct store_txn *t, struct str user)
{
        AUTO(buf) password = BUF_MAX(LIMIT_STORE_KEY);
        AUTO(buf) invited = BUF_MAX(LIMIT_STORE_KEY);

        password_key(user, &password);
        invited_key(user, &invited);
        store_txn_delete(t, buf_str(&password));
        store_txn_delete(t, buf_str(&invited));
}
