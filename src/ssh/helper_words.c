/* SPDX-License-Identifier: Apache-2.0 */
#include "ssh/helper_words.h"

#include "session/wire.h"

static char *text(const char *c)
{
        return (char *)(uintptr_t)c;
}

void helper_say(struct stream *s, const Cteleport__Session__V1__HelperDown *down)
{
        AUTO(buf) frame = BUF_MAX(SESSION_FRAME_MAX);

        if (s == NULL)
                return;
        session_frame_put(&frame, &down->base);
        stream_write(s, buf_str(&frame));
}

void helper_say_refusal(struct stream *s, const char *why, bool is_unknown)
{
        Cteleport__Session__V1__HelperDown down = CTELEPORT__SESSION__V1__HELPER_DOWN__INIT;
        Cteleport__Session__V1__Refusal refusal = CTELEPORT__SESSION__V1__REFUSAL__INIT;

        refusal.text = text(why);
        refusal.is_unknown = is_unknown;
        down.payload_case = CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_REFUSAL;
        down.refusal = &refusal;
        helper_say(s, &down);
}

void helper_say_end(struct stream *s, const char *why)
{
        Cteleport__Session__V1__HelperDown down = CTELEPORT__SESSION__V1__HELPER_DOWN__INIT;
        Cteleport__Session__V1__End end = CTELEPORT__SESSION__V1__END__INIT;

        end.text = text(why);
        down.payload_case = CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_END;
        down.end = &end;
        helper_say(s, &down);
}

void helper_say_unrecorded(struct stream *s, const char *why)
{
        Cteleport__Session__V1__HelperDown down = CTELEPORT__SESSION__V1__HELPER_DOWN__INIT;
        Cteleport__Session__V1__Notice notice = CTELEPORT__SESSION__V1__NOTICE__INIT;

        notice.text = text(why);
        notice.stop_output = true;
        down.payload_case = CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_NOTICE;
        down.notice = &notice;
        helper_say(s, &down);
}
