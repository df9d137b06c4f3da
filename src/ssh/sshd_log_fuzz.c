/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks for any packet that an accepted login is one line with sshd's own beginning and end, that all reported text lies
 * inside the packet, and that earlier packets change only the reason.
 */
#include "base/bug.h"
#include "base/names.h"
#include "ssh/sshd_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct str part, struct str packet)
{
        if (part.len > 0 && (part.ptr < packet.ptr || part.ptr + part.len > packet.ptr + packet.len))
                bug("a part of the line lies outside of it");
}

static bool has_line_end(struct str packet)
{
        struct str text = str_ends_with(packet, STR("\r\n")) ? str_slice(packet, 0, packet.len - 2) : packet;

        return str_find_char(text, '\n') != text.len || str_find_char(text, '\r') != text.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct str before = STR_INIT("Certificate invalid: expired\r\n");
        struct str packet = str_of_bytes(data, size);
        struct sshd_log log = { 0 }, other = { 0 };
        struct sshd_log_event e, again;

        sshd_log_read(&other, before, &e);
        sshd_log_read(&log, packet, &e);
        sshd_log_read(&other, packet, &again);
        if (again.kind != e.kind || !str_equal(again.login, e.login) || again.serial != e.serial)
                bug("a line is judged by what came before");
        if (e.kind == SSHD_LOG_OTHER)
                return 0;
        inside(e.login, packet);
        inside(e.key_id, packet);
        inside(e.ca, packet);
        inside(e.host, packet);
        if (e.port < 0 || e.port > 65535)
                bug("port %d", e.port);
        if (has_line_end(packet))
                bug("two lines are one");
        if (e.kind == SSHD_LOG_ACCEPTED &&
            (!str_starts_with(packet, STR("Accepted publickey for ")) || !name_is_login(e.login) || e.ca.len < 40))
                bug("a login nobody has");
        if (e.kind == SSHD_LOG_REFUSED && (str_is_empty(e.reason) || str_starts_with(packet, STR("Accepted"))))
                bug("a refusal without a reason");
        return 0;
}
