package peers;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import java.io.UncheckedIOException;

/** Events and answers as Jackson reads and writes them; readers and writers are made once. */
final class Json {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final ObjectReader EVENTS = MAPPER.readerFor(Event.class);
    private static final ObjectReader ANSWERS = MAPPER.readerFor(Answer.class);
    private static final ObjectWriter WRITER = MAPPER.writerFor(Answer.class);

    private Json() {}

    @JsonIgnoreProperties(ignoreUnknown = true)
    static final class Event {
        public long id;
        public long ts;
        public double amount;
        public double n24;
        public double device;
    }

    static final class Answer {
        public long id;
        public long ts;
        public double p;
    }

    static byte[] score(byte[] value) {
        try {
            Event event = EVENTS.readValue(value);
            Answer answer = new Answer();
            answer.id = event.id;
            answer.ts = event.ts;
            answer.p = 1 / (1 + Math.exp(-(0.002 * event.amount + 0.1 * event.n24 - event.device)));
            return WRITER.writeValueAsBytes(answer);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    static Answer answer(byte[] value) {
        try {
            return ANSWERS.readValue(value);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
