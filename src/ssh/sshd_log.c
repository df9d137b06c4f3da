/* SPDX-License-Identifier: Apache-2.0 */
#include "ssh/sshd_log.h"

#include <stdio.h>

#include "base/error.h"
#include "base/names.h"
#include "base/text.h"

enum {
        PACKET_MAX = 4 * KiB, /* sshd limits its own lines to 1 KiB, even if they have a certificate */
        REASON_MAX = 100,     /* before escaping */
};

/* ---- cutting ---------------------------------------------------------------------------------------------- */

/* Removes a prefix from the text; false if the text does not begin with the prefix. */
static bool cut_front(struct str *s, struct str front)
{
        if (!str_starts_with(*s, front))
                return false;
        *s = str_slice(*s, front.len, s->len);
        return true;
}

/* Cuts at the last `mark`: *s keeps the text before the mark, *ret_behind gets the text after it. */
static bool cut_at_last(struct str *s, struct str mark, struct str *ret_behind)
{
        for (size_t at = s->len; at-- > 0;) {
                if (!str_starts_with(str_slice(*s, at, s->len), mark))
                        continue;
                *ret_behind = str_slice(*s, at + mark.len, s->len);
                *s = str_slice(*s, 0, at);
                return true;
        }
        return false;
}

static bool cut_at_first(struct str *s, struct str mark, struct str *ret_before)
{
        for (size_t at = 0; at < s->len; at++) {
                if (!str_starts_with(str_slice(*s, at, s->len), mark))
                        continue;
                *ret_before = str_slice(*s, 0, at);
                *s = str_slice(*s, at + mark.len, s->len);
                return true;
        }
        return false;
}

static bool read_number(struct str text, int64_t max, int64_t *ret)
{
        AUTO_PTR(error) err = parse_int(text, 0, max, "number", ret);

        return err == NULL;
}

/* Parses the serial of a certificate, up to 2^64 - 1. */
static bool read_serial(struct str text, uint64_t *ret)
{
        uint64_t value = 0;

        for (size_t i = 0; i < text.len; i++) {
                uint64_t digit = (uint64_t)(text.ptr[i] - '0');

                if (!char_is_digit(text.ptr[i]) || value > (UINT64_MAX - digit) / 10)
                        return false;
                value = value * 10 + digit;
        }
        *ret = value;
        return text.len > 0;
}

static bool is_fingerprint(struct str text)
{
        static const struct str kind = STR_INIT("SHA256:");

        if (!str_starts_with(text, kind) || text.len < kind.len + 40 || text.len > kind.len + 44)
                return false;
        for (size_t i = kind.len; i < text.len; i++)
                if (!char_is_alnum(text.ptr[i]) && text.ptr[i] != '+' && text.ptr[i] != '/' && text.ptr[i] != '=')
                        return false;
        return true;
}

static bool is_word(struct str text)
{
        for (size_t i = 0; i < text.len; i++)
                if (!char_is_alnum(text.ptr[i]) && text.ptr[i] != '-' && text.ptr[i] != '_')
                        return false;
        return text.len > 0;
}

/* ---- logins --------------------------------------------------------------------------------------------------- */

/*
 * "LOGIN from ADDRESS port N ssh2: TYPE-CERT FINGERPRINT ID KEY-ID (serial N) CA TYPE FINGERPRINT". The key ID may contain
 * any text: the fields after it are cut off from the end, the fields before it from the beginning.
 */
static bool read_certificate(struct str text, struct sshd_log_event *e)
{
        struct str from, where, type, fingerprint, ca, serial;
        int64_t port;

        if (!cut_at_last(&text, STR(" CA "), &ca) || !cut_at_first(&ca, STR(" "), &type) || !is_word(type) ||
            !is_fingerprint(ca))
                return false;
        if (!str_ends_with(text, STR(")")) || !cut_at_last(&text, STR(" (serial "), &serial) ||
            !read_serial(str_slice(serial, 0, serial.len - 1), &e->serial))
                return false;
        if (!cut_at_first(&text, STR(" from "), &e->login) || !cut_at_first(&text, STR(" ssh2: "), &from) ||
            !cut_at_first(&from, STR(" port "), &where) || !read_number(from, 65535, &port))
                return false;
        if (!cut_at_first(&text, STR(" "), &type) || !is_word(type) || !str_ends_with(type, STR("-CERT")) ||
            !cut_at_first(&text, STR(" ID "), &fingerprint) || !is_fingerprint(fingerprint))
                return false;
        e->key_id = text;
        e->ca = ca;
        return true;
}

static void read_accepted(struct str text, struct sshd_log_event *e)
{
        if (read_certificate(text, e) && name_is_login(e->login))
                e->kind = SSHD_LOG_ACCEPTED;
}

static struct str take_reason(struct sshd_log *log, struct str otherwise)
{
        return log->reason[0] == '\0' ? otherwise : str_of(log->reason);
}

/* A client also offers its key without a certificate. No login is possible with that, so the failure is not reported. */
static void read_failed(struct sshd_log *log, struct str text, struct sshd_log_event *e)
{
        (void)cut_front(&text, STR("invalid user "));
        if (!read_certificate(text, e))
                return;
        e->kind = SSHD_LOG_REFUSED;
        e->reason = take_reason(log, STR("the certificate was refused"));
}

static void remember(struct sshd_log *log, struct str reason)
{
        AUTO(buf) shown = BUF_MAX(sizeof(log->reason));

        escape_text(&shown, reason, REASON_MAX);
        snprintf(log->reason, sizeof(log->reason), "%s", buf_c(&shown));
}

/* "NAME not allowed because WHY", where NAME is an existing account. */
static void read_not_allowed(struct sshd_log *log, struct str text, struct sshd_log_event *e)
{
        struct str name;

        if (!cut_at_first(&text, STR(" not allowed because "), &name))
                return;
        remember(log, text);
        e->kind = SSHD_LOG_REFUSED;
        e->login = name;
        e->reason = take_reason(log, STR("sshd logged no reason"));
}

static void read_invalid_user(struct str text, struct sshd_log_event *e)
{
        struct str where;

        if (!cut_at_last(&text, STR(" from "), &where))
                return;
        e->kind = SSHD_LOG_REFUSED;
        e->login = text;
        e->reason = STR("there is no such user on this host");
}

/* ---- forwards ---------------------------------------------------------------------------------------------------- */

static bool read_endpoint(struct str host, struct str port, struct sshd_log_event *e)
{
        int64_t number;

        if (host.len == 0 || host.len > 255 || !read_number(port, 65535, &number))
                return false;
        e->host = host;
        e->port = (int)number;
        return true;
}

/* "originator HOST port N, target HOST port N": the client chooses the text of the first host, so the last target counts. */
static void read_local_forward(struct str text, struct sshd_log_event *e)
{
        struct str target, port;

        if (cut_at_last(&text, STR(", target "), &target) && cut_at_last(&target, STR(" port "), &port) &&
            read_endpoint(target, port, e))
                e->kind = SSHD_LOG_FORWARD_LOCAL;
}

static void read_remote_forward(struct str text, struct sshd_log_event *e)
{
        struct str port;

        if (cut_at_last(&text, STR(" port "), &port) && read_endpoint(text, port, e))
                e->kind = SSHD_LOG_FORWARD_REMOTE;
}

/* "FILE:FUNCTION():LINE (pid=N): TEXT": the lines that the option LogVerbose enables. */
static void read_debug(struct str text, struct sshd_log_event *e)
{
        struct str function;

        if (!cut_at_first(&text, STR("): "), &function))
                return;
        if (str_contains(function, STR(":server_request_direct_tcpip()")) && cut_front(&text, STR("originator ")))
                read_local_forward(text, e);
        else if (str_contains(function, STR(":server_input_global_request()")) && cut_front(&text, STR("tcpip-forward listen ")))
                read_remote_forward(text, e);
}

/* ---- lines -------------------------------------------------------------------------------------------------------- */

static bool is_one_line(struct str packet)
{
        for (size_t i = 0; i < packet.len; i++)
                if (packet.ptr[i] == '\n' || packet.ptr[i] == '\r' || packet.ptr[i] == '\0')
                        return false;
        return packet.len <= PACKET_MAX;
}

void sshd_log_read(struct sshd_log *log, struct str packet, struct sshd_log_event *ret)
{
        struct str text = packet;

        *ret = (struct sshd_log_event){ .kind = SSHD_LOG_OTHER };
        if (str_ends_with(text, STR("\r\n")))
                text = str_slice(text, 0, text.len - 2);
        if (!is_one_line(text) || str_ends_with(text, STR(" [preauth]")))
                return;
        if (cut_front(&text, STR("Accepted publickey for ")))
                read_accepted(text, ret);
        else if (cut_front(&text, STR("Failed publickey for ")))
                read_failed(log, text, ret);
        else if (cut_front(&text, STR("User ")))
                read_not_allowed(log, text, ret);
        else if (cut_front(&text, STR("Invalid user ")))
                read_invalid_user(text, ret);
        else if (str_starts_with(text, STR("Certificate invalid: ")) ||
                 str_starts_with(text, STR("Certificate does not contain ")) ||
                 str_starts_with(text, STR("ROOT LOGIN REFUSED")))
                remember(log, text);
        else if (str_starts_with(text, STR("Starting session: ")))
                ret->kind = SSHD_LOG_SESSION;
        else if (cut_front(&text, STR("debug1: ")))
                read_debug(text, ret);
}
