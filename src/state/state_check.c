/* SPDX-License-Identifier: Apache-2.0 */
#include "state/state_check.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "rpc/wire.h"
#include "state/app.h"
#include "state/connection.h"
#include "state/credential.h"
#include "state/host.h"
#include "state/invite.h"
#include "state/lock.h"
#include "state/name.h"
#include "state/outbox_event.h"
#include "state/presence.h"
#include "state/recording.h"
#include "state/role.h"
#include "state/rotation.h"
#include "state/server.h"
#include "state/session.h"
#include "state/state_internal.h"
#include "state/token.h"
#include "state/user.h"
#include "state/web_session.h"

enum { CHECK_ARENA = 16 * MiB }; /* a message of LIMIT_STORE_VALUE, decoded */

/* store_probe.c writes it. */
static const struct state_kind probe_kind = { "probe", STR_INIT("/health/"), NULL };

/* All kinds: tests/lint compares the list with the sources. */
static const struct state_kind *const kinds[] = {
        &app_kind, &cluster_kind,  &connection_kind,    &credential_kind, &host_kind, &invite_kind,    &invite_newest_kind, &lock_kind,  &name_kind,
        &outbox_event_kind, &presence_kind, &probe_kind,  &recording_kind,  &removed_recording_kind, &role_kind, &rotation_kind, &server_kind,    &session_kind,       &token_kind, &user_kind,
        &web_session_kind, &web_session_use_kind,
};

static const struct state_kind *kind_of(struct str key)
{
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                if (str_starts_with(key, kinds[i]->prefix))
                        return kinds[i];
        return NULL;
}

struct error *state_check_item(const struct store_item *item)
{
        const struct state_kind *kind = kind_of(item->key);
        struct error *err = NULL;

        if (kind != NULL && kind->type != NULL) {
                AUTO_PTR(arena) arena = arena_new(CHECK_ARENA);
                ProtobufCMessage *message = NULL;

                err = wire_decode(arena, kind->type, item->value, &message);
        } else if (kind != NULL && str_is_empty(item->value)) {
                err = error_new(ERROR_DATA_LOSS, "it is empty");
        }
        if (kind != NULL && err == NULL)
                return NULL;
        AUTO_MEM char *shown = escaped(item->key);
        if (kind == NULL)
                return error_new(ERROR_UNIMPLEMENTED, "the record '%s' is of a kind that this version does not know", shown);
        return error_because(error_new(ERROR_DATA_LOSS, "the %s '%s' cannot be read", kind->name, shown), err);
}

struct str state_cluster_name(const struct store_item *item)
{
        return str_equal(item->key, STR("/cluster/name")) ? item->value : STR("");
}
