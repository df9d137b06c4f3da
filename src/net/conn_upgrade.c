/* SPDX-License-Identifier: Apache-2.0 */
#include "net/conn_upgrade.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/socket.h"

/* ---- the setting ---------------------------------------------------------------------------------------- */

static struct error *bad_setting(struct str entry, const char *why)
{
        AUTO_MEM char *shown = escaped(entry);

        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "TELEPORT_TLS_ROUTING_CONN_UPGRADE of the environment: '%s' %s", shown, why),
                          "write yes, no, or a list such as 'no,lb.example.com:443=yes'");
}

static struct error *read_switch(struct str entry, struct str word, enum conn_upgrade *ret)
{
        static const struct {
                const char *word;
                enum conn_upgrade means;
        } words[] = {
                { "yes", CONN_UPGRADE_ALWAYS }, { "yeah", CONN_UPGRADE_ALWAYS }, { "y", CONN_UPGRADE_ALWAYS },
                { "true", CONN_UPGRADE_ALWAYS }, { "t", CONN_UPGRADE_ALWAYS },   { "1", CONN_UPGRADE_ALWAYS },
                { "on", CONN_UPGRADE_ALWAYS },  { "no", CONN_UPGRADE_NEVER },    { "nope", CONN_UPGRADE_NEVER },
                { "n", CONN_UPGRADE_NEVER },    { "false", CONN_UPGRADE_NEVER }, { "f", CONN_UPGRADE_NEVER },
                { "0", CONN_UPGRADE_NEVER },    { "off", CONN_UPGRADE_NEVER },
        };

        for (size_t i = 0; i < ARRAY_LEN(words); i++)
                if (str_equal_nocase(word, str_of(words[i].word))) {
                        *ret = words[i].means;
                        return NULL;
                }
        return bad_setting(entry, "is neither yes nor no");
}

static struct error *names_address(struct str entry, struct str written, struct str host, int port, bool *ret)
{
        struct str its_host;
        int its_port;
        struct error *err = address_split(written, 0, &its_host, &its_port);

        if (err != NULL) {
                error_free(err);
                return bad_setting(entry, "names no host and port");
        }
        *ret = str_equal_nocase(its_host, host) && (its_port == 0 || its_port == port);
        return NULL;
}

static size_t find_separator(struct str s)
{
        size_t comma = str_find_char(s, ','), semicolon = str_find_char(s, ';');

        return comma < semicolon ? comma : semicolon;
}

struct error *conn_upgrade_choose(const char *setting, struct str host, int port, enum conn_upgrade *ret)
{
        enum conn_upgrade of_all = CONN_UPGRADE_DETECT, of_address = CONN_UPGRADE_DETECT;

        for (struct str rest = str_of(setting); !str_is_empty(rest);) {
                size_t end = find_separator(rest);
                struct str entry = str_trim(str_slice(rest, 0, end));
                size_t equals = str_find_char(entry, '=');
                enum conn_upgrade means;

                rest = str_slice(rest, end + 1, rest.len);
                if (str_is_empty(entry))
                        continue;
                if (equals == entry.len) {
                        TRY(read_switch(entry, entry, &means));
                        of_all = of_all == CONN_UPGRADE_DETECT ? means : of_all;
                        continue;
                }
                bool is_named = false;
                TRY(read_switch(entry, str_trim(str_slice(entry, equals + 1, entry.len)), &means));
                TRY(names_address(entry, str_trim(str_slice(entry, 0, equals)), host, port, &is_named));
                if (is_named && of_address == CONN_UPGRADE_DETECT)
                        of_address = means;
        }
        *ret = of_address != CONN_UPGRADE_DETECT ? of_address : of_all;
        return NULL;
}

struct error *conn_upgrade_of_environment(struct str host, int port, enum conn_upgrade *ret)
{
        return conn_upgrade_choose(getenv("TELEPORT_TLS_ROUTING_CONN_UPGRADE"), host, port, ret);
}

/* ---- what this process has learned ------------------------------------------------------------------------ */

/* The addresses that need the upgrade, the latest first. The loops of a process run on one thread. */
static char *known[LIMIT_UPGRADE_ADDRESSES];

static size_t find_known(struct str address)
{
        size_t i = 0;

        while (i < ARRAY_LEN(known) && (known[i] == NULL || !str_equal(str_of(known[i]), address)))
                i++;
        return i;
}

bool conn_upgrade_is_known(struct str address)
{
        return find_known(address) < ARRAY_LEN(known);
}

void conn_upgrade_learn(struct str address, bool is_needed)
{
        size_t i = find_known(address);

        if (i < ARRAY_LEN(known) && is_needed)
                return;
        if (i < ARRAY_LEN(known)) {
                free(known[i]);
                known[i] = NULL;
        } else if (is_needed) {
                free(known[ARRAY_LEN(known) - 1]);
                memmove(&known[1], &known[0], (ARRAY_LEN(known) - 1) * sizeof known[0]);
                known[0] = str_dup(address);
        }
}
