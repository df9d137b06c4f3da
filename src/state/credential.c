/* SPDX-License-Identifier: Apache-2.0 */
#include "state/credential.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "rpc/pb.h"
#include "state.pb-c.h"
#include "state/invite.h"

enum { RECORD_ARENA = 64 * KiB };

const struct state_kind credential_kind = { "password", STR_INIT("/passwords/"), &cteleport__state__v1__password__descriptor };

void credential_release(struct credential *c)
{
        free(unconst(c->hash.ptr));
        secret_release(&c->totp_key);
        *c = (struct credential){ 0 };
}

struct error *credential_read(const struct state_record *r, struct credential *ret)
{
        AUTO_PTR(arena) arena = r == NULL ? NULL : arena_new(RECORD_ARENA);
        ProtobufCMessage *message = NULL;
        struct credential c = { 0 };

        if (r == NULL) {
                *ret = c;
                return NULL;
        }
        TRY(state_read(arena, &credential_kind, r, &message));
        const Cteleport__State__V1__Password *p = (const Cteleport__State__V1__Password *)message;
        c.hash = (struct str){ str_dup(str_of(p->hash)), strlen(p->hash) };
        c.totp_key = secret_of(pb_str(p->totp_key));
        wipe(p->totp_key.data, p->totp_key.len);
        c.last_step = p->totp_last_step;
        c.changed = p->changed;
        c.revision = r->revision;
        for (size_t i = 0; i < p->n_known_sources; i++)
                credential_add_source(&c, p->known_sources[i]);
        *ret = c;
        return NULL;
}

void credential_put(struct store_txn *t, struct str user, const struct credential *c)
{
        Cteleport__State__V1__Password p = CTELEPORT__STATE__V1__PASSWORD__INIT;
        char *sources[LIMIT_LOGIN_SOURCES];

        for (size_t i = 0; i < c->source_count; i++)
                sources[i] = pb_text(c->sources[i]);
        p.hash = pb_text(c->hash.ptr); /* str_dup ends in NUL */
        p.totp_key = (ProtobufCBinaryData){ c->totp_key.len, (uint8_t *)c->totp_key.ptr };
        p.totp_last_step = c->last_step;
        p.changed = c->changed;
        p.known_sources = sources;
        p.n_known_sources = c->source_count;
        state_put(t, &credential_kind, user, &p.base, (struct walltime){ 0 });
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

void credentials_delete(struct store_txn *t, struct str user)
{
        state_delete(t, &credential_kind, user);
        invite_newest_delete(t, user);
}
