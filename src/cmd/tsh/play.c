/* SPDX-License-Identifier: Apache-2.0 */
/* tsh play: a recorded session, in this terminal as it happened or in another form. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "recording/plain_text.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/pace.h"
#include "cmd/tsh/user.h"
#include "recording/recording.h"
#include "rpc/pb.h"

static const char *const formats[] = { "pty", "json", "text", NULL };

const struct flag play_flags[] = {
        { "format", 'f', FLAG_TEXT, .value = "FORMAT", .choices = formats,
          .help = "Print all at once instead: the terminal's bytes, asciicast lines, or text without control sequences" },
        { "speed", .kind = FLAG_TEXT, .value = "SPEED", .fallback = "1x", .choices = pace_speeds, .help = "Initial speed" },
        { "damaged", .kind = FLAG_TEXT, .value = "N", .help = "Play the N-th damaged file that was set aside, instead of the recording" },
        { "skip-idle-time", .kind = FLAG_SWITCH, .help = "Skip idle time" },
        { NULL },
};

const struct argument play_arguments[] = {
        { "session-id", .is_required = true, .help = "As listed by: tsh recordings ls" },
        { NULL },
};

enum { HOLES_REPORTED = 50 }; /* one by one; the others as a number */

/* ---- reading the recording ------------------------------------------------------------------------------------ */

struct tape {
        struct api_client *api_client;
        const char *session_id;
        uint32_t set_aside; /* number of a file that was set aside; 0: the recording itself */
        struct recording_reader *reader;
        struct recording_chain chain;
        int64_t offset;
        bool has_ended; /* no more data will follow */
        bool has_end;   /* the end event of the recording was read */
        bool has_begun; /* an event was shown */
        bool is_other;  /* its first chunk differs from the one that the cluster recorded */
        size_t holes;
        struct duration hole_at; /* a hole whose end is not known yet; only with is_open */
        bool is_open;
        uint64_t missing_bytes, bytes_before; /* total, and before the open hole */
        uint32_t missing_chunks, chunks_before, first_missing;
        struct buf reported; /* sentences about holes, printed after the terminal is restored */
        bool is_complete;
        /* expected size and digest, from the last answer */
        int64_t size;
        char status[16];
        bool has_digest;
        uint8_t digest[RECORDING_LINK_LEN];
};

static void tape_begin(struct tape *t)
{
        t->reader = recording_reader_new();
        recording_chain_begin(&t->chain, str_of(t->session_id));
        t->offset = 0;
        t->has_ended = t->has_end = t->has_begun = t->is_other = t->is_open = t->is_complete = false;
        t->holes = 0;
        buf_release(&t->reported);
        t->reported = BUF_MAX(64 * KiB);
        t->missing_bytes = t->missing_chunks = 0;
}

static void tape_release(struct tape *t)
{
        recording_reader_free(t->reader);
        recording_chain_release(&t->chain);
        buf_release(&t->reported);
        *t = (struct tape){ 0 };
}

static void tape_rewind(struct tape *t)
{
        recording_reader_free(t->reader);
        recording_chain_release(&t->chain);
        tape_begin(t);
}

static bool is_link(ProtobufCBinaryData link, const uint8_t *found)
{
        return str_equal(pb_str(link), str_of_bytes(found, RECORDING_LINK_LEN));
}

/* Stores the expected size and digest. */
static void take_expected(struct tape *t, const Cteleport__V1__GetRecordingResponse *r)
{
        t->is_complete = r->is_complete;
        t->size = r->size;
        snprintf(t->status, sizeof t->status, "%s", r->status);
        t->has_digest = r->digest.len == sizeof t->digest;
        if (t->has_digest)
                memcpy(t->digest, r->digest.data, sizeof t->digest);
        t->is_other = r->first.len > 0 && t->chain.chunks > 0 && !is_link(r->first, t->chain.first);
}

/* A recording whose first chunk is valid and belongs to another session is refused before its output. */
static struct error *begin(struct tape *t, const struct recording_event *e)
{
        t->has_begun = true;
        if (!t->is_other || e->kind == RECORDING_HOLE)
                return NULL;
        return error_hint(error_new(ERROR_DATA_LOSS, "the cluster's file is the recording of another session, or was altered from its "
                                                     "beginning"),
                          "the digest of the true one is in the audit log: tctl audit ls --type=session.upload");
}

/* Answers are copied into the client's arena, which would hold all of a long recording. */
static struct error *fetch(struct tape *t)
{
        Cteleport__V1__GetRecordingRequest request = CTELEPORT__V1__GET_RECORDING_REQUEST__INIT;
        ProtobufCMessage *answer = NULL;

        request.session_id = pb_text(t->session_id);
        request.offset = t->offset;
        request.set_aside = t->set_aside;
        TRY(api_client_request(t->api_client, "/cteleport.v1.AdminService/GetRecording", &request.base,
                      &cteleport__v1__get_recording_response__descriptor, &answer));
        const Cteleport__V1__GetRecordingResponse *r = (Cteleport__V1__GetRecordingResponse *)(void *)answer;
        t->offset += (int64_t)r->data.len;
        t->has_ended = r->data.len == 0;
        recording_chain_feed(&t->chain, pb_str(r->data));
        take_expected(t, r);
        recording_feed(t->reader, pb_str(r->data));
        if (t->has_ended)
                recording_feed_end(t->reader);
        api_client_forget(t->api_client);
        return NULL;
}

/* ---- holes ----------------------------------------------------------------------------------------------------- */

/* Adjacent holes are reported as one. */
static void note_hole(struct tape *t, const struct recording_event *e)
{
        if (!t->is_open) {
                t->is_open = true;
                t->hole_at = e->at;
                t->first_missing = e->first_missing;
                t->bytes_before = t->missing_bytes;
                t->chunks_before = t->missing_chunks;
        }
        t->missing_bytes += e->missing_bytes;
        t->missing_chunks += e->missing_chunks;
}

/* The data after the hole shows its length. */
static void close_hole(struct tape *t, const struct duration *until)
{
        AUTO(buf) line = BUF_MAX(512);
        uint32_t chunks = t->missing_chunks - t->chunks_before;

        if (chunks > 1)
                buf_printf(&line, "chunks %u to %u are damaged or missing", t->first_missing, t->first_missing + chunks - 1);
        else if (chunks == 1)
                buf_printf(&line, "chunk %u is damaged or missing", t->first_missing);
        else
                buf_printf(&line, "the bytes before chunk %u are not part of it", t->first_missing);
        buf_printf(&line, ", %llu bytes", (unsigned long long)(t->missing_bytes - t->bytes_before));
        if (until != NULL)
                buf_printf(&line, ": output from %.3f s to %.3f s", (double)t->hole_at.ns / 1e9, (double)until->ns / 1e9);
        else
                buf_printf(&line, ": output from %.3f s on", (double)t->hole_at.ns / 1e9);
        if (t->holes++ < HOLES_REPORTED)
                buf_printf(&t->reported, "The recording has a hole: %s.\n", buf_c(&line));
        t->is_open = false;
}

/* *ret_have false: no more data. The end of the recording is held back, because data may follow it. */
static struct error *tape_next(struct tape *t, struct recording_event *ret, bool *ret_have)
{
        for (;;) {
                bool had_ended = t->has_ended;

                TRY(recording_next(t->reader, ret, ret_have));
                if (*ret_have && !t->has_begun)
                        TRY(begin(t, ret));
                if (*ret_have && ret->kind == RECORDING_HOLE)
                        note_hole(t, ret);
                else if (*ret_have && t->is_open)
                        close_hole(t, &ret->at);
                if (*ret_have && ret->kind == RECORDING_END)
                        t->has_end = true;
                else if (*ret_have || had_ended)
                        return NULL;
                else
                        TRY(fetch(t));
        }
}

/* ---- completeness ------------------------------------------------------------------------------------------------ */

static struct error *not_whole(const struct tape *t, const char *why)
{
        return error_hint(error_new(ERROR_DATA_LOSS, "the recording is not whole: %s", why),
                          "%lld bytes of it are there; size and digest of a finished one are in the audit log: tctl audit ls --type=session.upload",
                          (long long)t->offset);
}

static struct error *check_file(const struct tape *t)
{
        if (t->offset != t->size)
                return error_hint(error_new(ERROR_DATA_LOSS, "the recording is incomplete: it should have %lld bytes, and has %lld",
                                            (long long)t->size, (long long)t->offset),
                                  "size and digest of a finished recording are in the audit log: tctl audit ls --type=session.upload");
        if (t->has_digest && memcmp(t->digest, t->chain.link, sizeof t->digest) != 0)
                return not_whole(t, "it was altered after it was received from the node: its digest does not match");
        return NULL;
}

/* Prints a sentence for each hole on stderr, after the terminal is restored. */
static struct error *report_holes(struct tape *t)
{
        if (t->is_open)
                close_hole(t, NULL);
        if (t->holes == 0)
                return NULL;
        fwrite(t->reported.ptr, 1, t->reported.len, stderr);
        if (t->holes > HOLES_REPORTED)
                fprintf(stderr, "The recording has %zu more holes.\n", t->holes - HOLES_REPORTED);
        if (t->is_other)
                fprintf(stderr, "Its first chunk is damaged: nothing proves that the rest is of this session.\n");
        return error_hint(error_new(ERROR_DATA_LOSS, "the recording is incomplete: it is damaged in %zu place%s, where %llu bytes are missing", t->holes,
                                    t->holes == 1 ? "" : "s", (unsigned long long)t->missing_bytes),
                          "the parts around them were shown; after the first hole they cannot be compared with the digest of the recording");
}

/* After the last byte. */
static struct error *check_end(const struct tape *t)
{
        if (strcmp(t->status, "set-aside") == 0)
                return error_hint(error_new(ERROR_DATA_LOSS, "this is a file that was set aside because it differed from the data of the node"),
                                  "the recording that took its place: tsh play %s", t->session_id);
        TRY(check_file(t));
        if (strcmp(t->status, "aborted") == 0) { /* complete: all data that the cluster received */
                fprintf(stderr, "The recording stops before the end of the session: its node was lost or stopped, and the rest with it.\n");
                return NULL;
        }
        if (strcmp(t->status, "waiting") == 0)
                return not_whole(t, "the session is over, and the rest has not arrived from its node yet");
        if (strcmp(t->status, "unrecorded") == 0)
                return not_whole(t, "the cluster has lost its record of the length and digest");
        if (!t->is_complete) {
                fprintf(stderr, "The recording is not complete: the session still goes on, or its rest has not arrived yet.\n");
                return NULL;
        }
        if (!t->has_end)
                return not_whole(t, "it has no end");
        if (!t->has_digest)
                fprintf(stderr, "The cluster has no digest of this recording, which an older release received: its own end was compared.\n");
        return NULL;
}

/* ---- other formats ----------------------------------------------------------------------------------------------- */

static struct error *put_output(struct str bytes)
{
        if (!str_is_empty(bytes) && fwrite(bytes.ptr, 1, bytes.len, stdout) != bytes.len)
                return error_errno(errno, "cannot write the output");
        return NULL;
}

/* Prints a hole as asciicast's marker event. If the header is lost, another one is printed, so that players accept the rest. */
static struct error *print_hole(const struct recording_event *e)
{
        AUTO(buf) line = BUF_MAX(512);

        if (e->first_missing == 0 && e->missing_chunks > 0)
                buf_printf(&line, "{\"version\":2,\"width\":80,\"height\":24}\n");
        buf_printf(&line, "[%lld.%06lld,\"m\",\"%llu bytes of the recording are missing here\"]\n", (long long)(e->at.ns / 1000000000),
                   (long long)(e->at.ns / 1000 % 1000000), (unsigned long long)e->missing_bytes);
        return put_output(buf_str(&line));
}

static struct error *print_event(const struct recording_event *e, const char *format, struct plain_text *plain)
{
        if (strcmp(format, "json") == 0 && e->kind == RECORDING_HOLE)
                return print_hole(e);
        if (strcmp(format, "json") == 0) {
                TRY(put_output(e->line));
                return put_output(STR("\n"));
        }
        if (e->kind != RECORDING_OUTPUT)
                return NULL;
        if (strcmp(format, "pty") == 0)
                return put_output(e->bytes);
        AUTO(buf) text = BUF_MAX(4 * (size_t)RECORDING_CHUNK_MAX);
        plain_text_put(plain, &text, e->bytes);
        return put_output(buf_str(&text));
}

static struct error *print_tape(struct tape *t, const char *format)
{
        struct plain_text plain = { 0 };
        struct recording_event e;
        bool have = false;

        for (;;) {
                TRY(tape_next(t, &e, &have));
                if (!have)
                        break;
                TRY(print_event(&e, format, &plain));
        }
        return fflush(stdout) == 0 ? NULL : error_errno(errno, "cannot write the output");
}

/* ---- playing in the terminal ---------------------------------------------------------------------------------------- */

struct screen {
        struct termios before, raw;
        struct winsize size;
        bool is_raw;
        bool has_origin; /* the recording had a sequence that may have set origin mode */
        struct key_reader keys;
};

enum { SETTLE_MS = 300 }; /* the time for the answer to the last query; a terminal that answers needs milliseconds */

/* The signal that ends playing; 0: none. */
static volatile sig_atomic_t ending;
/* A stop by job control was requested; the process continued after a stop. */
static volatile sig_atomic_t is_stopping, has_continued;

static void on_signal(int signum)
{
        if (signum == SIGTSTP)
                is_stopping = 1;
        else if (signum == SIGCONT)
                has_continued = 1;
        else
                ending = signum;
}

static const struct {
        int signum, flags;
} caught[] = {
        { SIGHUP, 0 }, { SIGINT, 0 }, { SIGQUIT, 0 }, { SIGTERM, 0 }, /* interrupt calls, as of a blocked terminal */
        { SIGTSTP, SA_RESTART }, { SIGCONT, SA_RESTART },
};

/* Ignored signals stay ignored. */
static void catch_signals(void)
{
        struct sigaction before;

        for (size_t i = 0; i < ARRAY_LEN(caught); i++) {
                const struct sigaction action = { .sa_handler = on_signal, .sa_flags = caught[i].flags };

                if (sigaction(caught[i].signum, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
                        sigaction(caught[i].signum, &action, NULL);
        }
}

/* poll(2), but returns 0 if a signal is pending that was not handled yet. */
static int poll_unless_signalled(struct pollfd *in, int64_t ms)
{
        const struct timespec within = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
        sigset_t all, before;

        sigemptyset(&all);
        for (size_t i = 0; i < ARRAY_LEN(caught); i++)
                sigaddset(&all, caught[i].signum);
        sigprocmask(SIG_BLOCK, &all, &before);
        bool is_signalled = ending != 0 || is_stopping != 0 || has_continued != 0;
        int ready = is_signalled ? 0 : ppoll(in, 1, ms < 0 ? NULL : &within, &before);
        int why = errno;
        sigprocmask(SIG_SETMASK, &before, NULL);
        errno = why;
        return ready;
}

static struct error *screen_take(struct screen *s)
{
        if (tcsetattr(STDIN_FILENO, TCSADRAIN, &s->raw) != 0)
                return error_errno(errno, "cannot prepare the terminal");
        s->is_raw = true;
        (void)ioctl(STDIN_FILENO, TIOCGWINSZ, &s->size);
        return put_output(STR("\x1b[22;0t\x1b[?1007s")); /* XTWINOPS: save the titles; XTSAVE: whether the wheel sends keys */
}

static struct error *screen_init(struct screen *s)
{
        if (tcgetattr(STDIN_FILENO, &s->before) != 0)
                return error_hint(error_errno(errno, "there is no terminal to play in"), "use --format=pty, json or text");
        struct termios raw = s->before;
        raw.c_iflag &= ~(tcflag_t)(ICRNL | IXON);
        raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG | IEXTEN);
        /* Recorded output has passed a terminal's line discipline already. */
        raw.c_oflag &= ~(tcflag_t)OPOST;
        s->raw = raw;
        catch_signals();
        return screen_take(s);
}

/*
 * Reads and drops the terminal's answers to queries of the recording, so that it does not reach the shell:
 * answers come in order, so the one to a status report of our own is the last.
 */
static void drop_answers(void)
{
        struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
        AUTO(buf) answers = BUF_MAX(4 * KiB);

        while (!str_contains(buf_str(&answers), STR("\x1b[0n")) && poll(&in, 1, SETTLE_MS) > 0) {
                char bytes[256];
                ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);

                if (n <= 0)
                        break;
                if ((size_t)n > answers.max - answers.len)
                        buf_clear(&answers);
                buf_put(&answers, str_of_bytes(bytes, (size_t)n));
        }
}

static void screen_release(struct screen *s)
{
        /* Resets all modes that the recording may have set (xterm's ctlseqs.ms, "control sequences"), and requests a report. */
        static const char normal[] = "\x18\x1b<\x1b\\"             /* ends an unfinished sequence or string, and VT52 mode */
                                     "\x1b[?1049l"                /* the ordinary screen */
                                     "\x1b[?69l\x1b" "7\x1b[r\x1b" "8" /* no margins, no scroll region; the cursor stays */
                                     "\x1b[?7h\x1b[4l\x1b[20l"     /* wrap, no insert mode, no newline mode */
                                     "\x1b[?5l\x1b[?8h\x1b[?45l\x1b[?5W" /* not inverse, repeat, no reverse wrap, tabs of 8 */
                                     "\x1b[?1l\x1b>\x1b[>4m\x1b[<u"   /* cursor keys, keypad and modified keys as usual */
                                     "\x1b[?9l\x1b[?1000l\x1b[?1001l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\x1b[?1015l"
                                     "\x1b[?1016l\x1b[?2004l\x1b[?2026l" /* no mouse, focus, bracketed paste or held output */
                                     "\x1b[?1007r"                 /* the wheel as before */
                                     "\x1b(B\x1b)B\x1b*B\x1b+B\x0f"  /* ASCII */
                                     "\x1b]8;;\x1b\\\x1b[0\"q"       /* no link, nothing protected */
                                     "\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\" /* default colours */
                                     "\x1b[0m\x1b[?25h\x1b[0 q"    /* no colours, a cursor of the usual form */
                                     "\x1b[23;0t";                 /* the titles */
        static const char no_origin[] = "\x1b[?6l\x1b[999;1H"; /* which moves the cursor home */

        if (!s->is_raw)
                return;
        fwrite(normal, 1, sizeof normal - 1, stdout);
        if (s->has_origin)
                fwrite(no_origin, 1, sizeof no_origin - 1, stdout);
        if (s->size.ws_row != 0 && s->size.ws_col != 0)
                printf("\x1b[8;%u;%ut", s->size.ws_row, s->size.ws_col);
        printf("\r\n\x1b[5n");
        fflush(stdout);
        drop_answers();
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &s->before);
        s->is_raw = s->has_origin = false;
}

/*
 * Stops like a program without a handler, with the terminal restored, and sets it up again when continued. After SIGSTOP, which
 * cannot be handled, the shell restores the terminal, and SIGCONT reports it. *ret_is_back: the output on the screen is gone.
 */
static struct error *follow_job_control(struct screen *s, bool *ret_is_back)
{
        const struct sigaction stop = { .sa_handler = SIG_DFL };
        struct sigaction ours;

        *ret_is_back = false;
        if (is_stopping != 0 && ending == 0) {
                is_stopping = 0;
                screen_release(s);
                sigaction(SIGTSTP, &stop, &ours);
                raise(SIGTSTP); /* returns when it is continued; in an orphaned process group at once */
                sigaction(SIGTSTP, &ours, NULL);
                has_continued = 1;
        }
        if (has_continued == 0 || ending != 0)
                return NULL;
        has_continued = 0;
        *ret_is_back = true;
        return screen_take(s); /* in the background it waits for the foreground: tcsetattr(3), SIGTTOU */
}

/* Waits for keys or until the time is over; without limit for a negative time. */
static struct error *wait_for_key(struct pace *pace, struct screen *s, struct duration within, enum pace_action *ret)
{
        enum { NS_IN_MS = 1000000 };
        struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
        int64_t ms = within.ns < 0 ? -1 : (within.ns + NS_IN_MS - 1) / NS_IN_MS;
        char typed[64];

        *ret = PACE_GO_ON;
        int ready = poll_unless_signalled(&in, ms);
        if (ending != 0)
                *ret = PACE_QUIT;
        if (ready < 0 && errno != EINTR)
                return error_errno(errno, "cannot wait for keys");
        if (ready <= 0)
                return NULL;
        ssize_t n = read(STDIN_FILENO, typed, sizeof typed);
        if (n <= 0) {
                *ret = PACE_QUIT;
                return NULL;
        }
        struct str rest = str_of_bytes(typed, (size_t)n);
        if (s->before.c_cc[VSUSP] != _POSIX_VDISABLE && memchr(typed, s->before.c_cc[VSUSP], (size_t)n) != NULL)
                is_stopping = 1;
        while (!str_is_empty(rest) && *ret == PACE_GO_ON)
                *ret = pace_key(pace, pace_read_key(&s->keys, &rest), clock_now(clock_system()));
        return NULL;
}

/* Whether the bytes contain CSI ? 6 h, alone or among other modes. A wrong "yes" does no harm. */
static bool may_set_origin(struct str bytes)
{
        return str_contains(bytes, STR("[?6h")) || str_contains(bytes, STR("[?6;")) || str_contains(bytes, STR(";6h")) || str_contains(bytes, STR(";6;"));
}

static struct error *show(struct screen *s, const struct recording_event *e)
{
        if (e->kind == RECORDING_OUTPUT) {
                s->has_origin |= may_set_origin(e->bytes);
                return put_output(e->bytes);
        }
        if (e->kind == RECORDING_RESIZE)
                printf("\x1b[8;%u;%ut", e->rows, e->columns);
        return NULL;
}

/* Waits until the event's time has come. */
static struct error *await(struct pace *pace, struct screen *s, const struct recording_event *e, enum pace_action *ret)
{
        bool is_back;

        *ret = PACE_GO_ON;
        for (;;) {
                TRY(follow_job_control(s, &is_back));
                if (is_back && *ret == PACE_GO_ON)
                        *ret = pace_resume(pace, clock_now(clock_system()));
                if (ending != 0)
                        *ret = PACE_QUIT;
                if (*ret != PACE_GO_ON)
                        return NULL;
                struct duration left = pace_wait(pace, e->at, clock_now(clock_system()));

                if (left.ns == 0)
                        return NULL;
                fflush(stdout);
                TRY(wait_for_key(pace, s, left, ret));
        }
}

static struct error *play_tape(struct tape *t, struct pace *pace, struct screen *s)
{
        struct recording_event e;
        enum pace_action action;
        bool have = false;

        for (;;) {
                TRY(tape_next(t, &e, &have));
                if (!have)
                        return NULL;
                TRY(await(pace, s, &e, &action));
                if (action == PACE_QUIT)
                        return NULL;
                if (action == PACE_REWIND) {
                        tape_rewind(t);
                        TRY(put_output(STR("\x1b" "c"))); /* resets the terminal */
                        continue;
                }
                TRY(show(s, &e));
                pace_shown(pace, e.at);
        }
}

static struct error *play_on_screen(struct tape *t, const struct flags *given)
{
        AUTO(screen) screen = { 0 };
        struct pace pace;

        TRY(pace_init(&pace, flags_text(given, "speed"), flags_switch(given, "skip-idle-time"), clock_now(clock_system())));
        TRY(screen_init(&screen));
        return play_tape(t, &pace, &screen);
}

static struct error *read_number(const char *text, uint32_t *ret)
{
        *ret = 0;
        if (text == NULL)
                return NULL;
        if (text[0] < '1' || text[0] > '9' || text[1] != '\0')
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--damaged takes the number of a file that was set aside"),
                                  "`tsh recordings ls` shows how many there are");
        *ret = (uint32_t)(text[0] - '0');
        return NULL;
}

struct error *play_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        AUTO(api_client) a = { 0 };
        AUTO(tape) t = { 0 };
        const char *format = flags_text(given, "format");
        struct str id = str_of(flags_argument(given, 0));

        (void)ctx;
        if (!name_is_host_id(id)) {
                AUTO_MEM char *shown = escaped(id);

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' is not the ID of a session", shown),
                                  "IDs are listed by: tsh recordings ls");
        }
        TRY(user_load(given, &p));
        TRY(api_client_open(&a, &p));
        t = (struct tape){ .api_client = &a, .session_id = id.ptr };
        TRY(read_number(flags_text(given, "damaged"), &t.set_aside));
        tape_begin(&t);
        if (format == NULL && (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)))
                format = "pty";
        struct error *err = format == NULL ? play_on_screen(&t, given) : print_tape(&t, format);
        if (ending != 0) { /* after the terminal is restored */
                signal(ending, SIG_DFL);
                raise(ending);
        }
        TRY(err);
        TRY(report_holes(&t));
        return t.has_ended ? check_end(&t) : NULL; /* the end is checked only if it was reached */
}
