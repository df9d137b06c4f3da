/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/ca_phase.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

static const struct phase_row {
        const char *name, *title;
        enum ca_phase next; /* by itself */
        bool may_roll_back;
        bool signs_clients, signs_servers; /* the new CA */
} rows[] = {
        [CA_STANDBY] = { "standby", "standby", CA_INIT, false, false, false },
        [CA_INIT] = { "init", "initialized", CA_UPDATE_CLIENTS, true, false, false },
        [CA_UPDATE_CLIENTS] = { "update_clients", "rotating clients", CA_UPDATE_SERVERS, true, true, false },
        [CA_UPDATE_SERVERS] = { "update_servers", "rotating servers", CA_STANDBY, true, true, true },
        [CA_ROLLBACK] = { "rollback", "rolling back", CA_STANDBY, false, false, false },
};

const char *ca_phase_name(enum ca_phase phase)
{
        return rows[phase].name;
}

const char *ca_phase_title(enum ca_phase phase)
{
        return rows[phase].title;
}

struct error *ca_phase_get(struct str name, enum ca_phase *ret)
{
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (str_equal(name, str_of(rows[i].name))) {
                        *ret = (enum ca_phase)i;
                        return NULL;
                }
        AUTO_MEM char *shown = escaped(name);
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' is not a phase of a rotation", shown),
                          "init, update_clients, update_servers, standby and rollback are");
}

enum ca_phase ca_phase_next(enum ca_phase now)
{
        return rows[now].next;
}

struct error *ca_phase_check_step(enum ca_phase now, enum ca_phase next)
{
        if (next == rows[now].next || (next == CA_ROLLBACK && rows[now].may_roll_back))
                return NULL;
        if (now == CA_STANDBY)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "no rotation is in progress, so its phase %s cannot begin", rows[next].name),
                                  "a rotation begins with the phase init");
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the rotation is in phase %s, after which %s cannot follow", rows[now].name,
                                    rows[next].name),
                          "%s%s can", rows[rows[now].next].name, rows[now].may_roll_back ? " or rollback" : "");
}

bool ca_phase_signs_with_new(enum ca_phase phase, bool is_server)
{
        return is_server ? rows[phase].signs_servers : rows[phase].signs_clients;
}
