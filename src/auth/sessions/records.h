/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings as files: data_dir/log/records/<session id>.rec. All of it blocks, for the pool.
 *
 * A file is a prefix of the container that the node has, checked chunk by chunk as it grows. What was
 * acknowledged is durable; what a crash leaves behind the last whole chunk, a part of the next one or zeros, is cut at the next
 * open, and the node sends it again. Anything else that is not as it came is damage: then nothing is cut, the file is
 * set aside as <session id>.damaged-1 (2, 3 …), and the node sends all of it again into a new one.
 */
#ifndef AUTH_SESSIONS_RECORDS_H
#define AUTH_SESSIONS_RECORDS_H

#include "base/buf.h"
#include "recording/recording.h"

/* A recording that grows. Owner may look. */
struct record_file {
        int fd; /* -1: not open */
        uint64_t size; /* durable bytes */
        struct recording_check check;
        struct recording_chain chain;
        struct recording_check written_check; /* of what is written and not synced */
};

/* How a recording stood when it was last noted in the store. */
struct record_mark {
        uint64_t size;     /* of whole chunks where digest is known */
        struct str digest; /* link of the chain at `size`; empty: not known */
        struct str first;  /* link of chunk 0; empty: not known */
};

/*
 * Opens or makes it, in dir (made too), and reads what is there. session_id has passed name_is_session().
 * What is there must go on from what the store noted, in sound chunks: otherwise it is set aside, *ret_was_altered says so, and
 * the node, which keeps a recording until it is finished, sends all of it again. RESOURCE_EXHAUSTED when the disk is full, or when
 * LIMIT_RECORDINGS_SET_ASIDE of this session were set aside before.
 */
struct error *record_file_open(const char *dir, struct str session_id, const struct record_mark *noted, struct record_file *ret,
                               bool *ret_was_altered) MUST_USE;

/* How many files of this session were set aside as damaged. */
unsigned record_file_count_set_aside(const char *dir, struct str session_id);

/*
 * Appends in two steps, so that many files can be written before the first is synced: the bytes are durable, and count, when
 * record_file_sync() has returned for the same bytes. DATA_LOSS when they are not how a recording goes on, RESOURCE_EXHAUSTED
 * beyond LIMIT_RECORDING_MIB or when the disk has less than LIMIT_RECORDS_FREE_MIB left: nothing was appended then.
 */
struct error *record_file_write(struct record_file *f, struct str bytes) MUST_USE;
struct error *record_file_sync(struct record_file *f, struct str bytes) MUST_USE;

/* Cuts what is behind the last whole chunk: no more of it comes. */
struct error *record_file_cut(struct record_file *f) MUST_USE;

void record_file_release(struct record_file *f);

/*
 * Up to `most` bytes from offset on into out; *ret_size is how many there are in all. NOT_FOUND: no such recording here.
 * set_aside 0 means the recording, 1 and more a file that was set aside.
 */
struct error *record_file_read(const char *dir, struct str session_id, unsigned set_aside, uint64_t offset, size_t most, struct buf *out,
                               uint64_t *ret_size) MUST_USE;

enum record_state {
        RECORD_SOUND,
        RECORD_MISSING,
        RECORD_SHORT,
        RECORD_LONG,
        RECORD_ALTERED,
        RECORD_UNREADABLE, /* a link, no file, or one that the process may not read */
        RECORD_UNREAD,     /* sound as far as was looked */
};

/* How a file was when all of it was compared; zeros: never. A file with the same stamp has the same bytes. */
struct record_stamp {
        uint64_t device, inode, size;
        int64_t modified, changed; /* nanoseconds since 1970 */
};

/*
 * Compares a file with what the store noted of it: its size and its first chunk. is_growing: it may be longer.
 */
enum record_state record_file_compare(const char *dir, struct str session_id, const struct record_mark *noted, bool is_growing);

/*
 * The same of a finished recording, and then all of it with noted->digest, unless its stamp is *stamp. Reads nothing of a file of more
 * than `most` bytes: RECORD_UNREAD. *stamp becomes that of a sound file, or zeros (also for one that was changed within a second);
 * *ret_read is how many bytes were read.
 */
enum record_state record_file_compare_all(const char *dir, struct str session_id, const struct record_mark *noted, uint64_t most,
                                          struct record_stamp *stamp, uint64_t *ret_read);

/* Stamps of recordings that were found sound, for LIMIT_RECORDINGS_COMPARED of them. Zeroed is empty; record_stamps_release frees. */
struct record_stamps {
        struct record_stamp_slot *slots;
};
void record_stamps_get(const struct record_stamps *s, struct str session_id, struct str digest, struct record_stamp *ret);
void record_stamps_put(struct record_stamps *s, struct str session_id, struct str digest, const struct record_stamp *stamp);
void record_stamps_release(struct record_stamps *s);

/* The name of a state as listings show it; "" for RECORD_SOUND. */
const char *record_state_name(enum record_state state);

#endif
